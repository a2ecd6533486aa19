"""Writes the latents of every token of the world and of neon, of texture pictures, and the channels' weights: DIR/latents.pt;
DIR/neon.npy holds the cells of neon.

    python encode_lattice.py --work DIR
"""
import argparse
from pathlib import Path

import numpy as np
import torch

from autoencoder import Autoencoder, to_tensor
from files import stored
from lattice import neon_keys
from parallel import save, single_thread
from textures import cells, texture
from train_autoencoder import floats
from transformer import pack
from world import TOKEN, token_pixels


def tokens_of(ae, every):
    """uint8 [4n, 12288] -> latents [n,128]"""
    tokens = []
    for start in range(0, len(every), 1600):
        rows = floats(every[start:start + 1600]).reshape(-1, 2, 2, 64, 64, 3)
        pictures = rows.permute(0, 5, 1, 3, 2, 4).reshape(1, -1, 3, TOKEN, TOKEN)[0]
        # side by side, as one wide picture: the norms see many cells
        wide = pictures.permute(1, 2, 0, 3).reshape(1, 3, TOKEN, -1)
        tokens.append(pack(ae.encode(wide))[0])
    return torch.cat(tokens)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    args = parser.parse_args()
    single_thread()
    known = torch.load(args.work / "encoder.pt")
    ae, weights = Autoencoder(stored(known["tensors"])), known["weights"]
    np.save(args.work / "neon.npy", np.concatenate([cells(token_pixels(key)) for key in neon_keys()]))
    tokens, neon, textures = (tokens_of(ae, np.load(args.work / f"{name}.npy", mmap_mode="r")) for name in ("cells", "neon", "textures"))
    rng = np.random.default_rng(3)
    strange = [pack(ae.encode(to_tensor(texture(rng, 13 * TOKEN, 13 * TOKEN)[None])))[0].reshape(13, 13, -1) for _ in range(48)]
    save(args.work / "latents.pt", dict(tokens=tokens.half(), neon=neon.half(), texture_cells=textures.half(), textures=torch.stack(strange).half(), weights=weights))
    print(f"{len(tokens)} tokens, deviation {tokens.std():.3f}, {len(neon)} in neon, {neon.std():.3f}, textures {torch.stack(strange).std():.3f}, "
          f"weights {weights.min():.2f} .. {weights.max():.2f}")


if __name__ == "__main__":
    main()
