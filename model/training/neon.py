"""The world in neon: outlines in the dark that glow, each kind of thing in a colour of its own, and a tube along the horizon."""
from functools import lru_cache

import numpy as np
from PIL import Image, ImageFilter

from drawings import TOKEN, block, lighter

DARK, TUBE = (14, 12, 38), (255, 64, 190)
GLOW = {
    "house": (255, 140, 60), "tree": (70, 230, 120), "car": (70, 190, 255), "boat": (120, 255, 240), "ball": (255, 80, 80),
    "flower": (255, 110, 200), "mushroom": (190, 110, 255), "balloon": (255, 200, 70), "heart": (255, 60, 110),
    "kite": (110, 240, 200), "star": (255, 235, 110), "bird": (120, 150, 255),
}
HALO, CORE = 9.0, 1.8   # deviations in pixels of the glow and of the line


def blurred(mask, radius):
    image = Image.fromarray((np.clip(mask, 0, 1) * 255).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(radius)), np.float32) / 255


def lit(ground, line, color):
    """Adds a line [H,W] in 0..1 and its glow to a picture [H,W,3]."""
    halo = np.clip(2.6 * blurred(line, HALO), 0, 1)[..., None]
    core = np.clip(2.2 * blurred(line, CORE), 0, 1)[..., None]
    glowing = ground + .6 * halo * (np.asarray(color, np.float32) - ground)
    return glowing + core * (np.asarray(lighter(color, .25), np.float32) - glowing)


@lru_cache(None)
def outlines(kind, amount):
    """-> lines [256,256] where a drawing's colours meet, and what it covers [256,256], both 0..1."""
    picture = block(kind, "red", amount)
    flat = np.concatenate((picture[..., :3] * picture[..., 3:] / 255, picture[..., 3:]), -1)
    slope = [np.abs(np.diff(flat, axis=a, append=np.take(flat, [-1], a))).max(-1) for a in (0, 1)]
    return np.clip((np.maximum(*slope) - .12) * 4, 0, 1), picture[..., 3]


@lru_cache(None)
def neon_token(line, part):
    """RGB float [128,128,3]: `line`: with the tube at its upper edge; `part`: of a thing, or None."""
    out = np.broadcast_to(np.asarray(DARK, np.float32), (TOKEN, TOKEN, 3))
    if line:
        tube = np.zeros((TOKEN, TOKEN), np.float32)
        tube[3:6] = 1
        out = lit(out, tube, TUBE)
    if part:
        kind, _, amount, i, j = part
        here = slice(i * TOKEN, (i + 1) * TOKEN), slice(j * TOKEN, (j + 1) * TOKEN)
        lines, cover = outlines(kind, amount)
        shade = np.clip(blurred(cover, 1)[here][..., None] * .9, 0, 1)
        out = out + shade * (np.asarray(DARK, np.float32) - out)
        whole = np.zeros((2 * TOKEN, 2 * TOKEN, 3), np.float32)
        whole[here] = out
        out = lit(whole, lines, GLOW[kind])[here]
    return out
