"""A random FLUX transformer of random sizes in BFL's and in diffusers' names, with what diffusers computes of it."""
import json

import torch
from diffusers import FluxTransformer2DModel

from golden_files import flux_to_bfl, save


def sizes(rng):
    axes = rng.choice([(8, 12, 12), (16, 24, 24), (4, 6, 6), (8, 8, 8), (16, 16, 16), (4, 10, 10)])
    heads, latent = rng.choice([1, 2, 3, 4]), rng.choice([4, 8, 16])
    return {
        "in_channels": 4 * latent, "out_channels": 4 * latent, "vec_in_dim": rng.choice([20, 32, 48]),
        "context_in_dim": rng.choice([24, 40, 56]), "hidden_size": heads * sum(axes), "mlp_ratio": 4.0,
        "num_heads": heads,
        "depth": rng.choice([1, 2, 3]), "depth_single_blocks": rng.choice([1, 2, 4]), "axes_dim": list(axes),
        "theta": rng.choice([10000, 2000]), "qkv_bias": rng.random() < 0.75, "guidance_embed": rng.random() < 0.75,
    }


def build(params):
    model = FluxTransformer2DModel(
        in_channels=params["in_channels"], num_layers=params["depth"], num_single_layers=params["depth_single_blocks"],
        attention_head_dim=sum(params["axes_dim"]), num_attention_heads=params["num_heads"],
        joint_attention_dim=params["context_in_dim"], pooled_projection_dim=params["vec_in_dim"],
        guidance_embeds=params["guidance_embed"], axes_dims_rope=tuple(params["axes_dim"])).eval()
    model.pos_embed.theta = params["theta"]
    for name, parameter in model.named_parameters():
        norm = parameter.ndim == 1 and "norm_" in name and "linear" not in name
        std = 0.1 if parameter.ndim == 1 else parameter.shape[1] ** -0.5
        torch.nn.init.normal_(parameter, mean=float(norm), std=std)
    if not params["qkv_bias"]:  # diffusers' blocks always have one: zeros are as good as none
        for block in model.transformer_blocks:
            for part in ("to_q", "to_k", "to_v", "add_q_proj", "add_k_proj", "add_v_proj"):
                getattr(block.attn, part).bias.zero_()
    return model


def pack(latent):
    _, c, h, w = latent.shape
    return latent.view(1, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(1, h * w // 4, 4 * c)


def unpack(tokens, c, h, w):
    return tokens.view(1, h // 2, w // 2, c, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(1, c, h, w)


def grid_ids(latent, image=0, row=0, column=0):
    h, w = latent.shape[2] // 2, latent.shape[3] // 2
    axes = torch.tensor([image]), torch.arange(h) + row, torch.arange(w) + column
    return torch.stack(torch.meshgrid(*axes, indexing="ij"), -1).reshape(1, h * w, 3).float()


def call(model, io, tokens, ids, t, guidance, txt="txt", vec="vec"):
    return model(
        hidden_states=tokens, img_ids=ids[0], encoder_hidden_states=io[txt], txt_ids=io["txt_ids"][0],
        pooled_projections=io[vec], timestep=torch.tensor([t]),
        guidance=torch.tensor([guidance]) if model.config.guidance_embeds else None, return_dict=False)[0]


def watch(model, acts):
    """Fills acts with the activations by the names that BFL's modules have."""

    def keep(name, module, pair=None):
        def hook(_, __, out):
            for key, value in zip(pair or [name], out if pair else [out]):
                acts[key] = value
        return module.register_forward_hook(hook)

    hooks = [keep("img_in", model.x_embedder), keep("txt_in", model.context_embedder), keep("final", model.proj_out)]
    for i, block in enumerate(model.transformer_blocks):
        hooks.append(keep("", block, [f"double.{i}.txt", f"double.{i}.img"]))
    for i, block in enumerate(model.single_transformer_blocks):
        def joined(_, __, out, i=i):
            acts[f"single.{i}"] = torch.cat(out, 1)
        hooks.append(block.register_forward_hook(joined))
    return hooks


def inputs(params, rng):
    side = lambda: 2 * rng.randint(2, 6)
    channels, tokens = params["in_channels"] // 4, rng.choice([5, 9, 13])
    io = {name: torch.randn(1, channels, side(), side()) for name in ("noise", "ref_latent", "ref2_latent")}
    io["inpaint.init_latent"] = torch.randn_like(io["noise"])
    io |= {"img": pack(io["noise"]), "ref_img": pack(io["ref_latent"]), "ref2_img": pack(io["ref2_latent"])}
    io |= {"img_ids": grid_ids(io["noise"]), "ref_ids": grid_ids(io["ref_latent"], 1)}
    io["txt_ids"] = torch.zeros(1, tokens, 3)
    io["ref2_ids_index"] = grid_ids(io["ref2_latent"], 2)
    h, w = (side // 2 for side in io["ref_latent"].shape[2:])
    h2, w2 = (side // 2 for side in io["ref2_latent"].shape[2:])
    io["ref2_ids_offset"] = grid_ids(io["ref2_latent"], 1, *((0, w) if h + h2 > w + w2 else (h, 0)))
    for name in ("", "neg_"):
        io[f"{name}txt"] = torch.randn(1, tokens, params["context_in_dim"])
        io[f"{name}vec"] = torch.randn(1, params["vec_in_dim"])
    mask = torch.zeros(1, 1, *io["noise"].shape[2:])
    mask[..., rng.randint(0, 2):, : rng.randint(2, mask.shape[3])] = 1
    return io | {"inpaint.mask_latent": mask}


def single_calls(model, io, rng):
    first = ("ref_img", "ref_ids")
    references = {"t2i": [], "ref": [first], "ref2_offset": [first, ("ref2_img", "ref2_ids_offset")],
                  "ref2_index": [first, ("ref2_img", "ref2_ids_index")]}
    for name, used in references.items():
        tokens = torch.cat([io["img"], *(io[img] for img, _ in used)], 1)
        ids = torch.cat([io["img_ids"], *(io[ids] for _, ids in used)], 1)
        t, guidance = rng.choice([1.0, 0.75, 0.5, 0.3125]), rng.choice([2.5, 3.5, 4.0])
        acts = {}
        hooks = watch(model, acts)
        out = call(model, io, tokens, ids, t, guidance)
        for hook in hooks:
            hook.remove()
        io |= {f"{name}.t": torch.tensor([t]), f"{name}.guidance": torch.tensor([guidance]), f"{name}.out_all": out}
        io |= {f"{name}.out": out[:, : io["img"].shape[1]]} | {f"{name}.act.{key}": value for key, value in acts.items()}
        if name == "ref":
            # What the bf16 model feeds its sinusoids.
            rounded_t = torch.tensor(1000 * t).bfloat16() / 1000 * 1000
            rounded_guidance = torch.tensor(guidance).bfloat16() * 1000
            rounded = [value.item() / 1000 for value in (rounded_t, rounded_guidance)]
            io["ref.out_all_f32_roundedt"] = call(model, io, tokens, ids, *rounded)


def loops(model, io, rng):
    steps, guidance = rng.choice([3, 5, 6]), io["ref.guidance"].item()
    sigmas = torch.linspace(1, 0, steps + 1, dtype=torch.float64)
    sigmas[:-1] = 1.9 / (1.9 + 1 / sigmas[:-1] - 1)
    both = torch.cat([io["img_ids"], io["ref_ids"]], 1)
    count = io["img"].shape[1]

    def denoise(x, sigmas, velocity, after=lambda x, sigma: x):
        for sigma, following in zip(sigmas.tolist(), sigmas.tolist()[1:]):
            x = after(x + (following - sigma) * velocity(x, sigma), following)
        return x

    def velocity(x, sigma, **text):
        return call(model, io, torch.cat([x, io["ref_img"]], 1), both, sigma, guidance, **text)[:, :count]

    def guided(x, sigma):
        negative = velocity(x, sigma, txt="neg_txt", vec="neg_vec")
        return negative + scale * (velocity(x, sigma) - negative)

    scale = rng.choice([2, 3, 5])
    io["loop.timesteps"] = sigmas.float()
    io["loop.out"] = denoise(io["img"], sigmas, velocity)
    io["loop.latent"] = unpack(io["loop.out"], *io["noise"].shape[1:])
    io[f"loop.true_cfg{scale}.out"] = denoise(io["img"], sigmas, guided)

    init = pack(io["inpaint.init_latent"])
    mask = pack(io["inpaint.mask_latent"].expand_as(io["noise"]))
    mix = lambda sigma: (1 - sigma) * init + sigma * io["img"]
    own = torch.cat([io["img_ids"], io["img_ids"] + torch.tensor([1.0, 0, 0])], 1)
    start = rng.randint(0, steps - 1)
    io["inpaint.out"] = denoise(
        mix(sigmas[start].item()), sigmas[start:],
        lambda x, sigma: call(model, io, torch.cat([x, init], 1), own, sigma, guidance)[:, :count],
        lambda x, sigma: (1 - mask) * mix(sigma) + mask * x)


def write(folder, rng):
    params = sizes(rng)
    model = build(params)
    io = inputs(params, rng)
    single_calls(model, io, rng)
    loops(model, io, rng)
    metadata = {"format": "pt", "flux_params": json.dumps(params)}
    weights = model.state_dict()
    save(folder / "flux_x.diffusers.safetensors", weights, metadata)
    bfl = flux_to_bfl(weights)
    if not params["qkv_bias"]:
        bfl = {name: value for name, value in bfl.items() if not name.endswith("_attn.qkv.bias")}
    save(folder / "flux_x.safetensors", bfl, metadata)
    save(folder / "flux_x.bf16.safetensors", {name: value.bfloat16() for name, value in bfl.items()}, metadata)
    both = torch.cat([io["img_ids"], io["ref_ids"]], 1)
    rounded = {name: value.bfloat16() for name, value in io.items()}
    t = (torch.tensor(1000 * io["ref.t"].item()).bfloat16() / 1000).item()
    half = model.to(torch.bfloat16)
    io["ref.out_all_bf16"] = call(
        half, rounded | {"txt_ids": io["txt_ids"]}, torch.cat([rounded["img"], rounded["ref_img"]], 1), both, t,
        io["ref.guidance"].item()).float()
    save(folder / "flux_x_io.safetensors", io)
    told = ("noise", "ref_latent", "ref2_latent", "txt", "loop.timesteps")
    print("flux", params, {name: list(io[name].shape) for name in told})
