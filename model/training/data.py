"""The illustrated world: scenes, their rendering, edits between scenes, and instructions.

A scene is a background (one plain colour, or a sky over a ground) with one to three objects
of different kinds. Everything is drawn with PIL at twice the size and averaged down.
"""
from dataclasses import dataclass, replace
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageDraw

TOKEN = 64   # pixels along one side of a transformer token
CELL = 32    # pixels along one side of a latent cell

COLORS = {
    "red": (220, 45, 45), "orange": (245, 140, 30), "yellow": (250, 212, 50), "green": (55, 160, 75),
    "blue": (45, 95, 210), "purple": (130, 65, 170), "pink": (245, 140, 185), "brown": (130, 82, 48),
    "white": (245, 245, 245), "black": (40, 40, 45),
}
COLOR_NAMES = list(COLORS)
KINDS = ["circle", "square", "triangle", "star", "heart", "house", "tree", "car"]
GROUNDED = {"house", "tree", "car"}
SKIES = ["blue", "pink", "orange", "yellow", "purple", "white", "black", "red", "green"]
GROUNDS = ["green", "yellow", "brown", "white", "orange", "purple", "blue", "pink"]


def backdrop(name):
    """RGB of a background colour: softer than the object colour of the same name."""
    r, g, b = COLORS[name]
    if name in ("white", "black"):
        return r, g, b
    return tuple(round(0.7 * v + 0.3 * 255) for v in (r, g, b))


@dataclass(frozen=True)
class Thing:
    kind: str
    color: str
    x: float          # centre, pixels
    y: float
    size: float       # side of the bounding square, pixels
    shift: tuple = (0, 0, 0)   # added to the colour (autoencoder training only)


@dataclass(frozen=True)
class Scene:
    width: int
    height: int
    sky: str
    ground: str | None        # None: plain background
    horizon: float            # pixels from the top
    things: tuple
    shift: tuple = (0, 0, 0)


def shade(rgb, factor):
    return tuple(int(max(0, min(255, v * factor))) for v in rgb)


@lru_cache(None)
def star_points():
    points = []
    for i in range(10):
        radius = 0.52 if i % 2 == 0 else 0.23
        points.append((radius * sin(pi * i / 5), 0.04 - radius * cos(pi * i / 5)))
    return points


@lru_cache(None)
def heart_points():
    points = []
    for i in range(48):
        t = 2 * pi * i / 48
        x = 16 * sin(t) ** 3
        y = 13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)
        points.append((x / 33, -(y + 2.5) / 31))
    return points


def parts(kind):
    """Primitives of a kind in unit coordinates (-0.5..0.5): (shape, coordinates, role).

    Role: a factor on the named colour, or a fixed RGB.
    """
    if kind == "circle":
        return [("ellipse", (-.48, -.48, .48, .48), 1.0)]
    if kind == "square":
        return [("rectangle", (-.43, -.43, .43, .43), 1.0)]
    if kind == "triangle":
        return [("polygon", [(0, -.48), (.5, .44), (-.5, .44)], 1.0)]
    if kind == "star":
        return [("polygon", star_points(), 1.0)]
    if kind == "heart":
        return [("polygon", heart_points(), 1.0)]
    if kind == "house":
        return [("rectangle", (-.38, -.08, .38, .5), 1.0), ("polygon", [(0, -.5), (.5, -.06), (-.5, -.06)], 0.6),
                ("rectangle", (-.1, .14, .12, .5), 0.6)]
    if kind == "tree":
        return [("rectangle", (-.09, .1, .09, .5), (110, 72, 45)), ("ellipse", (-.42, -.5, .42, .26), 1.0)]
    if kind == "car":
        return [("polygon", [(-.3, -.02), (-.18, -.3), (.2, -.3), (.34, -.02)], 1.0),
                ("polygon", [(-.2, -.02), (-.12, -.22), (.16, -.22), (.24, -.02)], (200, 228, 245)),
                ("rectangle", (-.5, -.04, .5, .22), 1.0),
                ("ellipse", (-.37, .1, -.11, .36), (35, 35, 40)), ("ellipse", (.11, .1, .37, .36), (35, 35, 40))]
    raise ValueError(kind)


def _draw(draw, thing, scale, ox, oy, fill=None):
    rgb = tuple(max(0, min(255, a + b)) for a, b in zip(COLORS[thing.color], thing.shift))
    for shape, coords, role in parts(thing.kind):
        color = fill if fill is not None else (role if isinstance(role, tuple) else shade(rgb, role))
        flat = coords if shape != "polygon" else [v for p in coords for v in p]
        flat = [((thing.x if i % 2 == 0 else thing.y) + v * thing.size - (ox if i % 2 == 0 else oy)) * scale
                for i, v in enumerate(flat)]
        getattr(draw, shape)(flat, fill=color)


def render(scene, box=None):
    """Scene -> uint8 [height, width, 3]; box (x, y, w, h) draws only that part."""
    x0, y0, w, h = box or (0, 0, scene.width, scene.height)
    sky = tuple(max(0, min(255, a + b)) for a, b in zip(backdrop(scene.sky), scene.shift))
    image = Image.new("RGB", (2 * w, 2 * h), sky)
    draw = ImageDraw.Draw(image)
    if scene.ground:
        draw.rectangle((0, min(2 * (scene.horizon - y0), 2 * h), 2 * w, 2 * h), fill=backdrop(scene.ground))
    for thing in scene.things:
        _draw(draw, thing, 2, x0, y0)
    return np.asarray(image.reduce(2))


def labels(scene, box=None):
    """Kind per latent cell, uint8 [height/32, width/32]: 0 background, i+1 for KINDS[i]."""
    x0, y0, w, h = box or (0, 0, scene.width, scene.height)
    image = Image.new("L", (w // 8, h // 8), 0)
    draw = ImageDraw.Draw(image)
    for thing in scene.things:
        _draw(draw, thing, 1 / 8, x0, y0, fill=KINDS.index(thing.kind) + 1)
    blocks = np.asarray(image).reshape(h // CELL, CELL // 8, w // CELL, CELL // 8).transpose(0, 2, 1, 3)
    blocks = blocks.reshape(h // CELL, w // CELL, -1)
    return np.where((blocks > 0).sum(-1) * 3 >= blocks.shape[-1], blocks.max(-1), 0).astype(np.uint8)


def _place(rng, scene_args, others, kind, span, color):
    width, height, ground, horizon = scene_args
    for _ in range(40):
        size = rng.uniform(*span)
        half = size / 2
        x = rng.uniform(half + 4, max(half + 5, width - half - 4))
        if ground and kind in GROUNDED:
            low, high = horizon + 0.05 * height - half, height - half - 4
            y = rng.uniform(low, high) if high > low else high
        else:
            y = rng.uniform(half + 4, max(half + 5, height - half - 4))
        if all(max(abs(x - o.x), abs(y - o.y)) > 0.5 * (size + o.size) + 6 for o in others):
            return Thing(kind, color, round(x), round(y), round(size))
    return None


def size_span(width, height, count):
    """Object sizes in pixels: about 1.7 tokens on the smallest canvas, 2.5-6 at one megapixel."""
    side = min(width, height)
    return max(104, 0.2 * side), min(384, (0.62 if count == 1 else 0.46 if count == 2 else 0.4) * side)


def random_scene(rng, width, height, count=None):
    """A scene whose objects differ in kind and colour from each other and from the background."""
    count = count or rng.choice([1, 2, 2, 3] if min(width, height) >= 384 else [1, 1, 2, 2, 2])
    sky = rng.choice(SKIES)
    ground = rng.choice([g for g in GROUNDS if g != sky]) if rng.random() < 0.5 else None
    horizon = round(height * rng.uniform(0.5, 0.75))
    free = [c for c in COLOR_NAMES if c not in (sky, ground)]
    rng.shuffle(free)
    things = []
    for kind in rng.sample(KINDS, count):
        thing = _place(rng, (width, height, ground, horizon), things, kind, size_span(width, height, count), free.pop())
        if thing:
            things.append(thing)
    return Scene(width, height, sky, ground, horizon, tuple(things)) if things else random_scene(rng, width, height, 1)


def where(scene, thing):
    """Position words that fit an object: (horizontal, vertical)."""
    u, v = thing.x / scene.width, thing.y / scene.height
    horizontal = "left" if u < 0.4 else "right" if u > 0.6 else "middle"
    vertical = "top" if v < 0.4 else "bottom" if v > 0.6 else "middle"
    return horizontal, vertical


def swap(scene, index, thing):
    """The scene with object `index` exchanged (None removes it)."""
    things = list(scene.things)
    things[index:index + 1] = [thing] if thing else []
    return replace(scene, things=tuple(things))


def edit_group(rng, width, height):
    """Variants of one scene and the edits between them.

    Returns (scenes, pairs); a pair is (source index, target index, edit dict). The base scene is the
    source of many different edits, so that only the instruction tells which object is meant.
    """
    base = random_scene(rng, width, height)
    scenes, pairs = [base], []

    def add(scene):
        scenes.append(scene)
        return len(scenes) - 1

    used = {base.sky, base.ground} | {t.color for t in base.things}
    for k, thing in enumerate(base.things):
        free = [c for c in COLOR_NAMES if c not in used]
        colors = rng.sample(free, 2)
        states = [(0, thing)] + [(add(swap(base, k, replace(thing, color=c))), replace(thing, color=c)) for c in colors]
        for i, old in states:
            for j, new in states:
                if i != j:
                    pairs.append((i, j, dict(edit="recolor", kind=old.kind, old=old.color, new=new.color)))
        gone = add(swap(base, k, None))
        for i, old in states:
            pairs.append((i, gone, dict(edit="remove", kind=old.kind, old=old.color)))
            pairs.append((gone, i, dict(edit="add", kind=old.kind, new=old.color, where=where(base, old))))
        if k == 0:
            kind = rng.choice([x for x in KINDS if x not in {t.kind for t in base.things}])
            other = replace(thing, kind=kind, color=rng.choice([thing.color] + free))
            swapped = add(swap(base, k, other))
            pairs.append((0, swapped, dict(edit="replace", kind=thing.kind, old=thing.color, to=kind, new=other.color)))
            pairs.append((swapped, 0, dict(edit="replace", kind=kind, old=other.color, to=thing.kind, new=thing.color)))
    free = [c for c in SKIES if c not in used]
    states = [(0, base)]
    for c in rng.sample(free, min(2, len(free))):
        scene = replace(base, sky=c, ground=None)
        states.append((add(scene), scene))
    for i, old in states:
        for j, new in states[1:] if base.ground else states:
            if i != j:
                pairs.append((i, j, dict(edit="background", part="background", new=new.sky)))
    if base.ground:
        part = rng.choice(["sky", "ground"])
        options = [c for c in (SKIES if part == "sky" else GROUNDS) if c not in used]
        scene = replace(base, **{part: rng.choice(options)})
        j = add(scene)
        pairs.append((0, j, dict(edit="background", part=part, new=getattr(scene, part))))
        pairs.append((j, 0, dict(edit="background", part=part, new=getattr(base, part))))
    return scenes, pairs


def change_mask(a, b, stride=4):
    """Tokens in which two renderings differ (every fourth pixel is looked at): bool [height/64, width/64]."""
    a, b, side = a[::stride, ::stride].astype(np.int16), b[::stride, ::stride], TOKEN // stride
    h, w, _ = a.shape
    return (np.abs(a - b).max(-1) > 10).reshape(h // side, side, w // side, side).any((1, 3))
