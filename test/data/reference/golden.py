"""A folder of golden files of random sizes, for `npm run golden -- DIR`: nobody can have tuned to them.

python golden.py DIR SEED; the seed decides every size. Needs torch, transformers, Pillow and diffusers (0.40), which
compute what is expected.
"""
import json
import pathlib
import random
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler
from PIL import Image
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

import golden_flux
from golden_files import autoencoder_to_bfl, save


def randomize(model, std=0.3):
    for name, parameter in model.named_parameters():
        fan_in = parameter[0].numel() if parameter.ndim > 1 else 0
        scale = 1.0 if "embed" in name or "shared" in name else fan_in**-0.5 if fan_in else std
        norm = "norm" in name and name.endswith("weight") and not fan_in
        torch.nn.init.normal_(parameter, mean=float(norm), std=scale)
    return model.eval()


def autoencoder(folder, rng):
    levels, groups, attention = rng.choice([2, 3]), rng.choice([32, 32, 16, 8]), rng.random() < 0.7
    channels = sorted(rng.choice([1, 2, 3]) * max(groups, 16) for _ in range(levels))
    config = {"latent_channels": rng.choice([4, 16]), "layers_per_block": rng.choice([1, 2]), "norm_num_groups": groups,
              "block_out_channels": channels, "scaling_factor": 0.3611, "shift_factor": 0.1159}
    if groups != 32:
        config |= {"scaling_factor": 1.5, "shift_factor": -0.2}
    model = randomize(AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * levels, up_block_types=["UpDecoderBlock2D"] * levels,
        use_quant_conv=False, use_post_quant_conv=False, mid_block_add_attention=attention, **config))
    io = {}
    keep = lambda name, module: module.register_forward_hook(lambda _, __, out: io.__setitem__(f"act.{name}", out))
    for side, half in (("enc", model.encoder), ("dec", model.decoder)):
        keep(f"{side}.conv_in", half.conv_in), keep(f"{side}.mid1", half.mid_block.resnets[0])
        keep(f"{side}.mid2", half.mid_block.resnets[1]), keep(f"{side}.out", half.conv_out)
        if attention:
            keep(f"{side}.attn", half.mid_block.attentions[0])
    for i in range(levels - 1):
        keep(f"enc.down{i}.ds", model.encoder.down_blocks[i].downsamplers[0])
        keep(f"dec.up{levels - 1 - i}.us", model.decoder.up_blocks[i].upsamplers[0])
    stride = 2 ** (levels - 1)
    image = torch.rand(1, 3, stride * rng.randint(5, 13), stride * rng.randint(5, 13)) * 2 - 1
    io |= {"image": image, "moments": model.encode(image).latent_dist.parameters}
    mean = io["moments"][:, : config["latent_channels"]]
    io["latent"] = (mean - config["shift_factor"]) * config["scaling_factor"]
    io["decoded"] = model.decode(io["latent"] / config["scaling_factor"] + config["shift_factor"]).sample
    # Without a configuration files are read as FLUX.1's own: 32 groups, its scale and shift.
    metadata = {} if groups == 32 else {"ae_config": json.dumps(config)}
    weights = model.state_dict()
    save(folder / "ae_x.diffusers.safetensors", weights, metadata)
    save(folder / "ae_x.safetensors", autoencoder_to_bfl(weights, levels), metadata)
    save(folder / "ae_x_io.safetensors", io)
    print("autoencoder", config, list(image.shape), "attention" if attention else "no attention")


def t5(folder, rng):
    gated = rng.choice(["gated-gelu", "gated-gelu", "relu"])
    config = {"d_model": rng.choice([24, 48, 56]), "d_kv": rng.choice([8, 16, 24]), "d_ff": rng.choice([64, 80]),
              "num_heads": rng.choice([1, 3, 4]), "num_layers": rng.choice([1, 2, 4]), "vocab_size": rng.choice([300, 700]),
              "feed_forward_proj": gated, "relative_attention_num_buckets": rng.choice([32, 16]),
              "relative_attention_max_distance": rng.choice([128, 64])}
    model = randomize(T5EncoderModel(T5Config(**config)))
    ids = torch.randint(3, config["vocab_size"], (1, rng.choice([33, 96, 200])))
    ids[0, -7:] = 0
    weights = {k: v for k, v in model.state_dict().items() if k != "encoder.embed_tokens.weight"}
    save(folder / "t5_x.safetensors", weights, {"t5_config": json.dumps(config)})
    save(folder / "t5_x_io.safetensors", {"input_ids": ids, "last_hidden_state": model(ids).last_hidden_state})
    print("t5", config, list(ids.shape))


def clip(folder, rng):
    heads, vocabulary, length = rng.choice([2, 3, 4]), rng.choice([300, 600]), rng.choice([77, 40])
    config = {"hidden_size": heads * rng.choice([8, 16]), "num_attention_heads": heads,
              "intermediate_size": rng.choice([64, 88]), "num_hidden_layers": rng.choice([1, 2, 4]),
              "hidden_act": rng.choice(["quick_gelu", "gelu"]), "max_position_embeddings": length,
              "bos_token_id": vocabulary - 2, "eos_token_id": vocabulary - 1, "vocab_size": vocabulary}
    model = randomize(CLIPTextModel(CLIPTextConfig(**config)))
    ids = torch.randint(1, vocabulary - 1, (1, length))
    ids[0, rng.randint(5, 30):] = vocabulary - 1
    out = model(ids)
    bare = not any(name.startswith("text_model.") for name in model.state_dict())
    prefix = rng.choice(["", "text_model."]) if bare else ""
    weights = {prefix + name: value for name, value in model.state_dict().items() if "position_ids" not in name}
    save(folder / "clip_x.safetensors", weights, {"clip_config": json.dumps(config)})
    save(folder / "clip_x_io.safetensors",
         {"input_ids": ids, "last_hidden_state": out.last_hidden_state, "pooler_output": out.pooler_output})
    print("clip", config)


def noise(folder, rng):
    tensors, table = {}, {}
    for _ in range(4):
        seed = rng.choice([rng.randint(0, 1000), rng.randint(0, 2**32 - 1), rng.randint(2**53, 2**63 - 1)])
        draw = lambda *shape, **more: torch.randn(*shape, generator=torch.Generator().manual_seed(seed), **more)
        shape = (1, rng.choice([4, 16]), rng.randint(3, 20), rng.randint(3, 20))
        tensors[f"seed{seed}.{'x'.join(map(str, shape))}.f32"] = draw(*shape)
        for count in rng.sample(range(1, 70), 3):
            tensors[f"seed{seed}.n{count}.f32"] = draw(count)
            table[f"randn_seed{seed}_n{count}"] = draw(count).tolist()
        generator = torch.Generator().manual_seed(seed)
        counts = [rng.randint(1, 40) for _ in range(4)]
        sequence = "_then_".join(f"randn{count}" for count in counts)
        table[f"seed{seed}_seq_{sequence}"] = [torch.randn(count, generator=generator).tolist() for count in counts]
        table[f"seed{seed}_rand_u24_first8"] = torch.rand(8, generator=torch.Generator().manual_seed(seed)).tolist()
        table[f"bf16_seed{seed}_n32"] = draw(32, dtype=torch.bfloat16).tolist()
        big = draw(1, 16, 48, 36).flatten()
        table[f"randn_seed{seed}_(1,16,48,36)"] = {"first16": big[:16].tolist(), "last16": big[-16:].tolist()}
    save(folder / "noise.safetensors", tensors)
    (folder / "rng.json").write_text(json.dumps(table))


def scheduler(steps, mu):
    one = FlowMatchEulerDiscreteScheduler(shift=3.0, use_dynamic_shifting=True)
    one.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    return one


def schedules(folder, rng):
    shift = lambda tokens: tokens * (1.15 - 0.5) / (4096 - 256) + 0.5 - 256 * (1.15 - 0.5) / (4096 - 256)
    bf16 = lambda x: torch.tensor(x).bfloat16()
    table = {}
    for _ in range(4):
        width, height = 16 * rng.randint(20, 100), 16 * rng.randint(20, 100)
        tokens = width * height // 256
        entry = {"tokens": tokens, "mu": shift(tokens), "bfl": {}, "diffusers": {}}
        for steps in rng.sample(range(1, 60), 4):
            one = scheduler(steps, entry["mu"])
            line = torch.linspace(1, 0, steps + 1)
            entry["bfl"][steps] = (np.exp(entry["mu"]) / (np.exp(entry["mu"]) + (1 / line - 1))).tolist()
            entry["diffusers"][steps] = {
                "sigmas": one.sigmas.tolist(),
                "embed_input_bf16": [((t.bfloat16() / 1000) * 1000).item() for t in one.timesteps],
                "bfl_embed_input_bf16": [(1000 * bf16(s)).item() for s in one.sigmas[:-1].tolist()]}
        table[f"{width}x{height}"] = entry
    (folder / "schedule.json").write_text(json.dumps(table))

    steps, mu = rng.randint(3, 12), round(rng.uniform(0.5, 1.2), 2)
    mean, spread = rng.choice([0.7, -0.3]), rng.choice([0.5, 0.8])
    one, x = scheduler(steps, mu), torch.randn(4)
    toy = {"def": f"x0(x,s)=m+a*k*k/(a*a*k*k+s*s)*(x-a*m), a=1-s, m={mean},k={spread}; v=(x-x0)/s", "x": x.tolist(),
           "noise_per_step": torch.randn(2 * steps, 4).tolist()}
    path = []
    for t, s in zip(one.timesteps, one.sigmas.tolist()):
        a = 1 - s
        x0 = mean + a * spread**2 / (a * a * spread**2 + s * s) * (x - a * mean)
        x = one.step((x - x0) / s, t, x).prev_sample
        path.append(x.tolist())
    (folder / "schedulers.json").write_text(json.dumps({
        "mu": {str(n): shift(n) for n in rng.sample(range(1, 9000), 5)},
        "sigmas": {f"n{n}_mu{mu}_default": scheduler(n, mu).sigmas.tolist() for n in rng.sample(range(1, 40), 4)}
                  | {f"n{n}_unshifted_default": scheduler(n, 0.0).sigmas.tolist() for n in rng.sample(range(1, 40), 2)},
        "toy": toy, f"trajectories_n{steps}_mu{mu}_default": {"FlowMatchEuler": path}}))


def lanczos(folder, rng):
    size = lambda: (rng.randint(7, 130), rng.randint(7, 130))
    width, height = size()
    picture = np.random.default_rng(rng.randint(0, 999)).integers(0, 256, (height, width, 3), dtype=np.uint8)
    out = {f"out_{w}x{h}": torch.from_numpy(np.array(Image.fromarray(picture).resize((w, h), Image.LANCZOS)))
           for w, h in (size() for _ in range(5))}
    save(folder / "pil_lanczos.safetensors", {"in": torch.from_numpy(picture)} | out)


@torch.no_grad()
def main(folder, seed):
    torch.set_num_threads(1)
    torch.manual_seed(seed)
    rng = random.Random(seed)
    folder.mkdir(parents=True, exist_ok=True)
    golden_flux.write(folder, rng)
    for part in (autoencoder, t5, clip, noise, schedules, lanczos):
        part(folder, rng)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]), int(sys.argv[2]))
