"""Measures the shipped model on scenes that training never saw.

    python evaluate.py --size 1024x1024 --steps 28 --count 8 [--seed 0] [--sheet sheet.png]

For each kind of edit, `count` single edits of one- and two-object scenes:
  done     the median colour of the eroded region that had to change is within 0.12 per channel of the truth
  whole    ... and 85 % of that region's pixels are within 0.2
  kept     PSNR at least 16 px away from the region, against the autoencoder's own picture of the truth
  others   share of the objects not named whose own median colour is still right
"""
import argparse
import math
import random
import time

import numpy as np
import torch
from PIL import Image
from scipy.ndimage import binary_dilation, binary_erosion

from autoencoder import to_bytes, to_tensor
from data import edit_group, render
from files import MODEL, load_autoencoder, load_editor
from prompts import instruction
from sampling import edit as run_edit

KINDS = ["recolor", "background", "remove", "replace", "add"]


def difference(a, b):
    return np.abs(a.astype(np.float32) - b).max(-1) / 255


def measure(source, truth, ideal, result, others):
    """Pictures uint8 [H,W,3]; `others`: masks of objects the edit does not name."""
    changed = difference(source, truth) > 0.04
    core = binary_erosion(changed, iterations=6)
    core = core if core.sum() > 200 else changed
    close = np.abs(np.median(result[core], 0) - np.median(truth[core], 0)).max() / 255 < 0.12
    whole = close and (difference(result, truth)[core] < 0.2).mean() > 0.85
    away = ~binary_dilation(changed, iterations=16)
    error = ((result[away].astype(np.float32) - ideal[away]) ** 2).mean() if away.sum() > 1000 else None
    intact = [np.abs(np.median(result[m], 0) - np.median(truth[m], 0)).max() / 255 < 0.12
              and (difference(result, truth)[m] < 0.2).mean() > 0.85 for m in others]
    return close, whole, None if error is None else 10 * math.log10(255 ** 2 / max(error, 1e-3)), intact


def bystanders(source, target):
    """Masks of the objects present before and after."""
    masks = []
    for thing in source.things:
        if thing in target.things:
            alone = type(source)(source.width, source.height, "white", None, 0, (thing,))
            empty = type(source)(source.width, source.height, "white", None, 0, ())
            masks.append(binary_erosion(difference(render(alone), render(empty)) > 0.04, iterations=6))
    return [m for m in masks if m.sum() > 200]


def cases(seed, size, count):
    """Single edits of unseen scenes: {edit: [(source scene, target scene, instruction)]}."""
    found, rng = {k: [] for k in KINDS}, random.Random(f"evaluation {seed}")
    while any(len(v) < count for v in found.values()):
        scenes, pairs = edit_group(rng, *size)
        if len(scenes[0].things) > 2:
            continue
        for kind in KINDS:
            options = [p for p in pairs if p[2]["edit"] == kind]
            if options and len(found[kind]) < count:
                i, j, what = rng.choice(options)
                found[kind].append((scenes[i], scenes[j], instruction(rng, what)))
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", default="1024x1024")
    parser.add_argument("--steps", type=int, default=28)
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--edits", default=",".join(KINDS))
    parser.add_argument("--sheet")
    args = parser.parse_args()
    torch.set_num_threads(1)
    ae, (editor, texts) = load_autoencoder(MODEL / "vae"), load_editor(MODEL)
    size = tuple(int(v) for v in args.size.split("x"))
    tiles, quality, began = [], [], time.time()
    for kind, tests in cases(args.seed, size, args.count).items():
        if kind not in args.edits.split(","):
            continue
        rows, tiles_of_kind = [], []
        for n, (a, b, prompt) in enumerate(tests):
            source, truth = render(a), render(b)
            with torch.no_grad():
                ideal = to_bytes(ae.decode(ae.encode(to_tensor(truth[None]))))[0]
            quality.append(10 * math.log10(255 ** 2 / ((ideal.astype(np.float32) - truth) ** 2).mean()))
            result, _ = run_edit(ae, editor, texts, prompt, source, seed=n, steps=args.steps)
            rows.append(measure(source, truth, ideal, result, bystanders(a, b)))
            tiles_of_kind.append(np.concatenate([np.asarray(Image.fromarray(p).resize((160, 160))) for p in (source, result, truth)], 0))
            print(f"  {kind}: {prompt!r} done {rows[-1][0]} whole {rows[-1][1]}", flush=True)
        kept = [r[2] for r in rows if r[2] is not None]
        intact = [v for r in rows for v in r[3]]
        print(f"{kind:10s} done {sum(r[0] for r in rows)}/{len(rows)}  whole {sum(r[1] for r in rows)}/{len(rows)}  "
              f"kept {np.mean(kept) if kept else float('nan'):.1f} dB  others {sum(intact)}/{len(intact)}", flush=True)
        tiles.append(np.concatenate(tiles_of_kind, 1))
    print(f"autoencoder {np.mean(quality):.1f} dB, {time.time() - began:.0f} s")
    if args.sheet:
        Image.fromarray(np.concatenate(tiles, 0)).save(args.sheet)


if __name__ == "__main__":
    main()
