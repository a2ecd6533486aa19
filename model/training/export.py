"""Writes the model folder from training checkpoints.

    python export.py --autoencoder DIR/autoencoder.pt      the vae, latent scale and mean folded in
    python export.py --decoder DIR/decoder.pt              only the vae's decoder
    python export.py --refit                               the decoder's last convolution by least squares
    python export.py --transformer DIR/transformer.pt      transformer and text encoders
    python export.py --blank                               untrained transformer and text encoders

Run it with --autoencoder before cache_latents.py: the transformer is trained on the shipped encoder's latents.
"""
import argparse
import random
from pathlib import Path

import torch

import principal
from autoencoder import Autoencoder, to_tensor
from data import render, random_scene
from files import MODEL, PARTS, load_autoencoder, new_editor, read_weights, text_states, write_json, write_weights
from prompts import TEXT_LENGTH, Texts, build_clip, build_t5
from train_autoencoder import sample

SIZES = [(672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104), (1024, 1024)]
SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True,
    "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096,
}
INDEX = {
    "_class_name": "FluxKontextPipeline", "_diffusers_version": "0.35.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "PreTrainedTokenizerFast"], "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"], "image_encoder": [None, None], "feature_extractor": [None, None],
}
MANIFEST = {
    "air": "retouch:mini@1", "name": "Retouch mini", "architecture": "flux-kontext", "files": ".",
    "defaults": {"steps": 28, "guidance": 2.5}, "sizes": SIZES + [(h, w) for w, h in reversed(SIZES[:-1])],
    "license": "Apache-2.0", "price": {"perImage": 0},
}


def frame():
    write_json(MODEL / "model_index.json", INDEX)
    write_json(MODEL / "scheduler/scheduler_config.json", SCHEDULER)
    write_json(MODEL / "manifest.json", MANIFEST)
    if not (MODEL / "tokenizer_2/tokenizer.json").exists():
        build_clip(MODEL / "tokenizer")
        build_t5(MODEL / "tokenizer_2")


@torch.no_grad()
def export_autoencoder(checkpoint):
    ae = Autoencoder()
    weights = torch.load(checkpoint)["ema"]
    ae.load_state_dict(principal.merged({k.removeprefix("ae."): v for k, v in weights.items() if k.startswith("ae.")}))
    rng = random.Random(20)
    z = [ae.encode(to_tensor(render(random_scene(rng, 64 * rng.randint(4, 10), 64 * rng.randint(4, 10)))[None])).flatten(2)[0]
         for _ in range(150)]
    z = torch.cat(z, 1)
    print("latent mean", z.mean(1), "std", z.std(1))
    ae.fold(z.mean(1), z.std(1))
    write_json(MODEL / "vae/config.json", ae.cfg)
    write_weights(MODEL / "vae/diffusion_pytorch_model.safetensors", ae.state_dict())


def export_decoder(checkpoint):
    weights = torch.load(checkpoint)["ema"]
    trained = principal.merged({k.removeprefix("ae."): v for k, v in weights.items() if k.startswith("ae.")})
    path = MODEL / "vae/diffusion_pytorch_model.safetensors"
    write_weights(path, {k: trained[k] if k.startswith("decoder.") else v for k, v in read_weights(path).items()})


def refit_decoder():
    torch.manual_seed(0)
    ae, rng = load_autoencoder(), random.Random(77)

    def pictures():
        for i in range(120):
            if i % 2 == 0:   # windows at object edges, which training saw
                yield to_tensor(principal.start_images(sample, 4, 1000 + i)), 1.0
            else:
                size = (1024, 1024) if i % 4 == 1 else (512, 640)
                yield to_tensor(render(random_scene(rng, *size))[None]), 0.5
    principal.refit(ae, pictures())
    write_weights(MODEL / "vae/diffusion_pytorch_model.safetensors", ae.state_dict())


def export_editor(editor, texts):
    clip, t5 = text_states(editor)
    end = texts.clip.token_to_id("<|endoftext|>")
    configs = {
        "transformer": editor.transformer.cfg,
        "clip": {**editor.clip.config.to_dict(), "architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
                 "max_position_embeddings": TEXT_LENGTH, "eos_token_id": end},
        "t5": {**editor.t5.config.to_dict(), "architectures": ["T5EncoderModel"]},
    }
    states = {"transformer": editor.transformer.state_dict(), "clip": clip, "t5": t5}
    for name, (folder, file) in PARTS.items():
        write_json(MODEL / folder / "config.json", configs[name])
        write_weights(MODEL / folder / file, states[name])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--autoencoder", type=Path)
    parser.add_argument("--decoder", type=Path)
    parser.add_argument("--refit", action="store_true")
    parser.add_argument("--transformer", type=Path)
    parser.add_argument("--blank", action="store_true")
    args = parser.parse_args()
    frame()
    if args.autoencoder:
        export_autoencoder(args.autoencoder)
    if args.decoder:
        export_decoder(args.decoder)
    if args.refit:
        refit_decoder()
    texts = Texts(MODEL)
    if args.blank:
        torch.manual_seed(0)
        editor = new_editor(texts)
        editor.initialise()
        export_editor(editor, texts)
    if args.transformer:
        editor = new_editor(texts)
        editor.load_state_dict(torch.load(args.transformer)["ema"])
        export_editor(editor, texts)
    total = 0
    for path in sorted(MODEL.glob("*/*.*")):
        if path.suffix in (".safetensors", ".json"):
            total += path.stat().st_size
    print(f"model folder: {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
