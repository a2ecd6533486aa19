"""One edit with the shipped files in PyTorch, f32: what the engine is compared with.

    python reference.py --prompt "make the car red" --image in.png --seed 1 --steps 28 --out out.png [--latent out.safetensors]

Without --image it is text-to-image of --size WIDTHxHEIGHT.
"""
import argparse
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file

from files import MODEL, load_autoencoder, load_editor
from sampling import edit


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--prompt", required=True)
    parser.add_argument("--image", type=Path)
    parser.add_argument("--size", default="")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--guidance", type=float, default=2.5)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--latent", type=Path)
    parser.add_argument("--model", type=Path, default=MODEL)
    args = parser.parse_args()
    torch.set_num_threads(1)
    ae, (editor, texts) = load_autoencoder(args.model / "vae"), load_editor(args.model)
    image = np.array(Image.open(args.image).convert("RGB")) if args.image else None
    size = tuple(int(v) for v in args.size.split("x")) if args.size else None
    picture, latent = edit(ae, editor, texts, args.prompt, image, size, args.seed, args.steps, args.guidance)
    Image.fromarray(picture).save(args.out)
    if args.latent:
        save_file({"latent": latent.contiguous()}, args.latent)


if __name__ == "__main__":
    main()
