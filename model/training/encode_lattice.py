"""Writes the latents of every token of the world, of texture pictures, and the channels' weights: DIR/latents.pt.

    python encode_lattice.py --work DIR        reads the exported vae
"""
import argparse
from pathlib import Path

import numpy as np
import torch

from autoencoder import to_tensor
from files import load_autoencoder
from parallel import save, single_thread
from textures import texture
from train_autoencoder import floats
from transformer import pack
from world import TOKEN


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    single_thread()
    ae, cells = load_autoencoder(), np.load(args.work / "cells.npy", mmap_mode="r")
    tokens = []
    for start in range(0, len(cells), 1600):
        rows = floats(cells[start:start + 1600]).reshape(-1, 2, 2, 64, 64, 3)
        pictures = rows.permute(0, 5, 1, 3, 2, 4).reshape(1, -1, 3, TOKEN, TOKEN)[0]
        # side by side, as one wide picture: the norms see many cells
        wide = pictures.permute(1, 2, 0, 3).reshape(1, 3, TOKEN, -1)
        tokens.append(pack(ae.encode(wide))[0])
    tokens = torch.cat(tokens)
    rng = np.random.default_rng(3)
    strange = [pack(ae.encode(to_tensor(texture(rng, 13 * TOKEN, 13 * TOKEN)[None])))[0].reshape(13, 13, -1) for _ in range(48)]
    # what an error in a channel does to the picture
    some = tokens[torch.randperm(len(tokens), generator=torch.Generator().manual_seed(0))[:256]]
    z = some.reshape(256, 32, 2, 2).permute(1, 2, 0, 3).reshape(1, 32, 2, 512)
    picture, energy = ae.decode(z), []
    for c in range(32):
        moved = z.clone()
        moved[:, c] += .2 * torch.randn(z[:, c].shape, generator=torch.Generator().manual_seed(c))
        energy.append((ae.decode(moved) - picture).square().mean())
    weights = torch.stack(energy).sqrt()
    weights = (weights / weights.mean()).repeat_interleave(4)
    save(args.work / "latents.pt", dict(tokens=tokens.half(), textures=torch.stack(strange).half(), weights=weights))
    print(f"{len(tokens)} tokens, deviation {tokens.std():.3f}, textures {torch.stack(strange).std():.3f}, weights {weights.min():.2f} .. {weights.max():.2f}")


if __name__ == "__main__":
    main()
