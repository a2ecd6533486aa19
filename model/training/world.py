"""The illustrated world: scenes on a lattice of tokens, and their pictures.

A picture of w x h pixels has floor(w/128) x floor(h/128) whole tokens. Things stand in six places of two by two tokens: the
band of the sky and the band of the ground, each left, in the middle (if at least six tokens are there) and right. Every kind
has its band, and no kind is there twice. So a scene and a size have exactly one picture.
"""
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from drawings import (COLORS, COUNTED, GROUND_KINDS, GROUNDS, KINDS, SKY_KINDS, TIMES, TOKEN, block, ground_token,
                      plain_token, sky_token)
from neon import neon_token

COLOR_NAMES = list(COLORS)
COLUMNS = ["left", "middle", "right"]
SIZES = [(672, 1568), (688, 1504), (720, 1456), (752, 1392), (800, 1328), (832, 1248), (880, 1184), (944, 1104), (1024, 1024)]
SIZES = SIZES + [(h, w) for w, h in reversed(SIZES[:-1])]
PRACTICE = [(512, 512), (768, 512), (640, 640)]   # training starts on these


@dataclass(frozen=True)
class Thing:
    kind: str
    color: str
    amount: object     # "small" or "large"; of the counted kinds how many, 1..4


@dataclass(frozen=True)
class Scene:
    """`place`: (time, ground), (None, color) for a plain background or ("neon", with a horizon). `things`: {(band, column): Thing} as sorted pairs."""
    place: tuple
    things: tuple

    def at(self, slot):
        return dict(self.things).get(slot)

    def find(self, kind):
        return next(((slot, thing) for slot, thing in self.things if thing.kind == kind), (None, None))

    def put(self, slot, thing):
        """The scene with `thing` (None: nothing) at `slot`."""
        things = dict(self.things)
        things.pop(slot, None)
        if thing:
            things[slot] = thing
        return replace(self, things=tuple(sorted(things.items())))


def band(kind):
    return "sky" if kind in SKY_KINDS else "ground"


@dataclass(frozen=True)
class Layout:
    """Where things are in a picture, in tokens. `rows`, `columns`: whole tokens; `grid`: rows and columns with those cut."""
    width: int
    height: int
    rows: int
    columns: int
    grid: tuple
    horizon: int
    slots: tuple       # ((band, column), row, column of the first token)

    def place_of(self, slot):
        return next((r, c) for s, r, c in self.slots if s == slot)

    def names(self, band=None):
        return [s for s, _, _ in self.slots if band in (None, s[0])]


@lru_cache(None)
def layout(width, height):
    rows, columns = height // TOKEN, width // TOKEN
    horizon = rows - (1 if rows == 4 else max(2, round(.36 * rows)))
    tops = {"ground": horizon - 1, "sky": max(0, (horizon - 3) // 2)}
    margin = 1 if columns >= 9 else 0
    lefts = {"left": margin, "right": columns - 2 - margin}
    if columns >= 6:
        lefts["middle"] = (columns - 2) // 2
    slots = tuple(((b, c), tops[b], lefts[c]) for b in ("ground", "sky") for c in COLUMNS if c in lefts)
    grid = -(-height // TOKEN), -(-width // TOKEN)
    return Layout(width, height, rows, columns, grid, horizon, slots)


@lru_cache(None)
def backdrop(place, width, height):
    """The background as keys of tokens: {(row, column): key} for `token_pixels`."""
    lay, keys = layout(width, height), {}
    occupied = {(r + i, c + j) for _, r, c in lay.slots for i in (0, 1) for j in (0, 1)}
    for r in range(lay.grid[0]):
        for c in range(lay.grid[1]):
            whole = r < lay.rows and c < lay.columns and (r, c) not in occupied
            if place[0] == "neon":
                keys[r, c] = ("neon", place[1] and r == lay.horizon)
            elif place[0] is None:
                keys[r, c] = ("plain", place[1])
            elif r < lay.horizon:
                level = min(lay.horizon - r, 5)
                spot = (2 * c + 3 * level) % 5
                mark = {0: 0, 2: 1}.get(spot) if whole and place[0] == "night" and level > 1 else None
                keys[r, c] = ("sky", place[0], place[1] if level == 1 else None, level, mark)
            else:
                row = min(r - lay.horizon, 1)
                mark = {0: 0, 2: 1}.get((c + 2 * (r - lay.horizon)) % 3) if whole and row else None
                keys[r, c] = ("ground", *place, row, mark)
    return keys


def keys_of(scene, width, height):
    """{(row, column): (background key, part)}; part: (kind, color, amount, i, j) or None."""
    lay = layout(width, height)
    keys = {k: (v, None) for k, v in backdrop(scene.place, width, height).items()}
    for slot, t in scene.things:
        r, c = lay.place_of(slot)
        for i in (0, 1):
            for j in (0, 1):
                keys[r + i, c + j] = (keys[r + i, c + j][0], part_of(scene, t, i, j))
    return keys


def part_of(scene, thing, i, j):
    """What a token shows of a thing; in neon all colours are one."""
    return (thing.kind, None if scene.place[0] == "neon" else thing.color, thing.amount, i, j)


def token_pixels(key):
    """(background key, part) -> uint8 [128,128,3]"""
    back, part = key
    if back[0] == "neon":
        return np.clip(neon_token(back[1], part) + .5, 0, 255).astype(np.uint8)
    draw = {"plain": plain_token, "sky": sky_token, "ground": ground_token}[back[0]]
    rgb = draw(*back[1:])
    if part:
        kind, color, amount, i, j = part
        picture = block(kind, color, amount)[i * TOKEN:(i + 1) * TOKEN, j * TOKEN:(j + 1) * TOKEN]
        rgb = rgb + picture[..., 3:] * (picture[..., :3] - rgb)
    return np.clip(rgb + .5, 0, 255).astype(np.uint8)


def render(scene, width, height):
    """-> uint8 [height, width, 3]"""
    lay = layout(width, height)
    canvas = np.zeros((lay.grid[0] * TOKEN, lay.grid[1] * TOKEN, 3), np.uint8)
    for (r, c), key in keys_of(scene, width, height).items():
        canvas[r * TOKEN:(r + 1) * TOKEN, c * TOKEN:(c + 1) * TOKEN] = token_pixels(key)
    return canvas[:height, :width]


PLACES = [(t, g) for t in TIMES for g in GROUNDS] + [(None, c) for c in COLOR_NAMES]


def amounts(kind):
    return [1, 2, 3, 4] if kind in COUNTED else ["large", "small"]


def random_thing(rng, kind, avoid=()):
    color = rng.choice([c for c in COLOR_NAMES if c not in avoid])
    amount = rng.randint(1, 4) if kind in COUNTED else rng.choice(["large", "large", "small"])
    return Thing(kind, color, amount)


def random_place(rng):
    return rng.choice(PLACES[:12]) if rng.random() < .7 else rng.choice(PLACES[12:])


def random_scene(rng, width, height, count=None):
    lay = layout(width, height)
    count = count or rng.choice([1, 2, 2, 3, 3, 4])
    scene = Scene(random_place(rng), ())
    used = {scene.place[1]} if scene.place[0] is None else set()
    for slot in rng.sample(lay.names(), min(count, len(lay.slots))):
        kinds = [k for k in (SKY_KINDS if slot[0] == "sky" else GROUND_KINDS) if scene.find(k)[0] is None]
        scene = scene.put(slot, random_thing(rng, rng.choice(kinds), used))
    return scene
