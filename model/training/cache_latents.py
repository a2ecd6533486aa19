"""Renders and encodes groups of edits, for train_transformer.py.

    python cache_latents.py --work DIR --set small --groups 4000 [--seed 1]

Writes shards DIR/cache/<set>/*.pt; a shard is a list of groups:
  grid (h, w) in tokens; z f16 [n,T,4C] packed latents of the n scenes; kinds u8 [n,T,8] quarters of a token
  that an object kind covers; scenes; pairs [(source, target, edit)]; masks bool [pairs,T] changed tokens.
"""
import argparse
import random
import time
from pathlib import Path

import numpy as np
import torch

from autoencoder import to_tensor
from data import KINDS, TOKEN, change_mask, edit_group, labels, render
from files import load_autoencoder
from parallel import save, single_thread
from transformer import pack

SETS = {
    "small": [(4, 4)] * 4 + [(4, 5), (5, 4), (5, 5), (5, 5), (6, 5), (5, 6), (6, 6), (6, 6), (4, 7), (7, 4)],
    "medium": [(7, 7), (8, 8), (8, 8), (7, 9), (9, 7), (6, 10), (10, 6), (8, 10), (10, 8)],
    "large": [(16, 16)] * 4 + [(13, 19), (19, 13), (11, 24), (24, 11), (15, 18), (18, 15), (12, 22), (22, 12), (14, 19), (19, 14)],
}


@torch.no_grad()
def encode_group(ae, rng, grid):
    h, w = grid
    scenes, pairs = edit_group(rng, w * TOKEN, h * TOKEN)
    images = np.stack([render(s) for s in scenes])
    z = torch.cat([pack(ae.encode(to_tensor(images[i:i + 4]))) for i in range(0, len(images), 4)])
    kinds = np.stack([labels(s) for s in scenes]).reshape(-1, h, 2, w, 2).transpose(0, 1, 3, 2, 4).reshape(len(scenes), h * w, 4)
    cover = np.stack([(kinds == k + 1).sum(-1) for k in range(len(KINDS))], -1).astype(np.uint8)
    masks = np.stack([change_mask(images[i], images[j]).reshape(-1) for i, j, _ in pairs])
    return dict(grid=grid, z=z.half(), kinds=torch.from_numpy(cover), scenes=scenes, pairs=pairs, masks=torch.from_numpy(masks))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--set", choices=SETS, required=True)
    parser.add_argument("--groups", type=int, required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--shard", type=int, default=64)
    parser.add_argument("--folder", default="cache", help="`held` for the validation groups")
    args = parser.parse_args()
    single_thread()
    ae = load_autoencoder(Path(__file__).resolve().parent.parent / "vae")
    folder = args.work / args.folder / args.set
    folder.mkdir(parents=True, exist_ok=True)
    start = time.time()
    for first in range(0, args.groups, args.shard):
        path = folder / f"{args.seed:04d}-{first:06d}.pt"
        if path.exists():
            continue
        rng = random.Random(f"{args.folder} {args.set} {args.seed} {first}")
        count = min(args.shard, args.groups - first)
        save(path, [encode_group(ae, rng, rng.choice(SETS[args.set])) for _ in range(count)])
        print(f"{first + count} groups, {time.time() - start:.0f} s", flush=True)


if __name__ == "__main__":
    main()
