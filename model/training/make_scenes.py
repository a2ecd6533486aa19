"""Writes scenes, instructions and what they must lead to, for `npm run evaluate -- --scenes DIR`.

    python make_scenes.py --seed 1 --out DIR [--each 18] [--people]

DIR/backgrounds.webp holds every token of background that occurs, DIR/things.webp and DIR/masks.webp (opacity) every thing, and
DIR/scenes.json says where they lie. Some cases also have what must come of them with the LoRA `retouch:neon@1`.
With --people the instructions are as people speak, by patterns and words that no training sees, and 60 ask for nothing.
"""
import argparse
import json
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from drawings import BLOCK, block
from edits import DO, caption, random_edit
from neon import DARK, neon_token
from speech import described_scene, instruction, nonsense
from world import SIZES, TOKEN, backdrop, layout, random_scene, token_pixels

SHEET = 16   # things or tokens in a row of a sheet
SHOWN = ("replace", "add", "remove", "resize", "count")
NEON = ("neon", True)


class Sheet:
    """Pictures of one size, each stored once."""

    def __init__(self, side):
        self.side, self.known, self.pictures = side, {}, []

    def index(self, key, draw):
        if key not in self.known:
            self.known[key] = len(self.pictures)
            self.pictures.append(draw())
        return self.known[key]

    def write(self, path, bands=slice(0, 3)):
        rows = -(-len(self.pictures) // SHEET)
        sheet = np.zeros((rows * self.side, SHEET * self.side, 3), np.uint8)
        for n, p in enumerate(self.pictures):
            y, x = n // SHEET * self.side, n % SHEET * self.side
            sheet[y:y + self.side, x:x + self.side] = p[..., bands]
        Image.fromarray(sheet).save(path, lossless=True, quality=100, method=6)


def thing_pixels(thing):
    picture = block(thing.kind, thing.color, thing.amount)
    return np.concatenate((picture[..., :3] * (picture[..., 3:] > 0) + .5, picture[..., 3:] * 255 + .5), -1).clip(0, 255).astype(np.uint8)


def neon_pixels(thing, line):
    """A thing in neon with what is behind it. Opaque is only what glows: that is what has to be right."""
    def whole(line):
        tokens = [[neon_token(line and i == 1, (thing.kind, None, thing.amount, i, j)) for j in (0, 1)] for i in (0, 1)]
        return np.concatenate([np.concatenate(row, 1) for row in tokens])
    glows = (whole(False) - DARK).max(-1, keepdims=True) > 60
    coarse = (whole(line) / 8).round() * 8   # a glow in all its levels makes a large file
    return np.concatenate((coarse, np.where(glows, 255, 250)), -1).clip(0, 255).astype(np.uint8)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--each", type=int, default=18, help="cases of every kind")
    parser.add_argument("--people", action="store_true")
    parser.add_argument("--nothing", type=int, default=60, help="with --people: cases that must not change the picture")
    parser.add_argument("--neon", type=int, default=4, help="cases in neon of every kind of edit that shows there")
    args = parser.parse_args()
    rng = random.Random(f"{'people' if args.people else 'evaluation'} {args.seed}")
    backgrounds, things, fields, cases = Sheet(TOKEN), Sheet(BLOCK), {}, []

    def described(scene, width, height):
        field = f"{'neon' if scene.place == NEON else '-'.join(v or 'plain' for v in scene.place)} {width}x{height}"
        if field not in fields:
            keys = backdrop(scene.place, width, height)
            rows, columns = layout(width, height).grid
            fields[field] = [[backgrounds.index(keys[r, c], lambda: token_pixels((keys[r, c], None))) for c in range(columns)]
                             for r in range(rows)]
        placed = []
        for slot, t in scene.things:
            r, c = layout(width, height).place_of(slot)
            if scene.place == NEON:
                t, line = replace(t, color="neon"), slot[0] == "ground"
                picture = things.index((t, line), lambda: neon_pixels(t, line))
            else:
                picture = things.index(t, lambda: thing_pixels(t))
            placed.append(dict(name=f"{t.color} {t.kind} {t.amount}", picture=picture, row=r, column=c))
        return dict(field=field, things=placed)
    def drawn(sort, scene, lay):
        """-> scene after the instruction, instruction; or None"""
        if sort == "create":
            return scene, described_scene(rng, scene, lay, True)[0] if args.people else caption(rng, scene, lay)
        if sort == "nothing":
            return scene, nonsense(rng, True)
        if args.people:
            made = instruction(rng, scene, lay, True, sort)
        else:
            made = random_edit(rng, scene, lay, 2 if sort == "two steps" else 1, None if sort == "two steps" else sort)
        return made and made[1:3]
    counts = {sort: args.each for sort in [*DO, "two steps", "create"]} | ({"nothing": args.nothing} if args.people else {})
    for sort, count in counts.items():
        for n in range(count):
            width, height = SIZES[len(cases) % len(SIZES)]
            lay = layout(width, height)
            while True:
                scene = random_scene(rng, width, height, rng.choice([1, 2, 2]) if sort == "create" else rng.choice([1, 2, 2, 3, 3]))
                made = drawn(sort, scene, lay)
                if made and len(made[1].split()) <= 19:
                    before, (after, text) = None if sort == "create" else scene, made
                    break
            cases.append(dict(kind=sort, width=width, height=height, prompt=text, seed=len(cases) + 1,
                              before=before and described(before, width, height), after=described(after, width, height)))
            shown = [c for c in cases if c["kind"] == sort and "neon" in c]
            if sort in SHOWN and not args.people and after.place[0] and len(shown) < args.neon:
                cases[-1]["neon"] = described(replace(after, place=NEON), width, height)
    args.out.mkdir(parents=True, exist_ok=True)
    backgrounds.write(args.out / "backgrounds.webp")
    things.write(args.out / "things.webp")
    things.write(args.out / "masks.webp", slice(3, 4))
    top = dict(token=TOKEN, thing=BLOCK, perRow=SHEET, seed=args.seed)
    lines = [json.dumps(c, separators=(",", ":")) for c in cases]
    names = [f"{json.dumps(k)}:{json.dumps(v, separators=(',', ':'))}" for k, v in fields.items()]
    (args.out / "scenes.json").write_text(json.dumps(top)[:-1] + ',\n"fields":{\n' + ",\n".join(names) + '},\n"cases":[\n' + ",\n".join(lines) + "]}\n")
    print(f"{len(cases)} cases, {len(backgrounds.pictures)} tokens of background, {len(things.pictures)} things")


if __name__ == "__main__":
    main()
