"""The drawings of the illustrated world: objects and backgrounds, all made of a few shaded shapes.

An object is an RGBA picture of 256x256 pixels, two tokens by two; a background is drawn token by token.
"""
from functools import lru_cache
from math import cos, pi, sin

import numpy as np
from PIL import Image, ImageChops, ImageDraw

TOKEN = 128  # pixels along one side of a transformer token
CELL = 64    # pixels along one side of a latent cell
BLOCK = 2 * TOKEN
FINE = 3     # supersampling

COLORS = {
    "red": (224, 48, 52), "orange": (246, 138, 30), "yellow": (250, 210, 44), "green": (48, 164, 84),
    "blue": (40, 102, 220), "purple": (132, 66, 182), "pink": (246, 132, 184), "white": (246, 246, 250),
}
TIMES = ["day", "sunset", "night"]
GROUNDS = ["grass", "sand", "snow", "water"]
GROUND_KINDS = ["house", "tree", "car", "boat", "ball", "flower", "mushroom"]
SKY_KINDS = ["balloon", "heart", "kite", "star", "bird"]
KINDS = GROUND_KINDS + SKY_KINDS
COUNTED = {"flower", "mushroom", "star", "bird"}   # small things that come one to four at a time
SIZES = ["small", "large"]

SKY = {  # colour at the horizon, colour high up
    "day": ((206, 234, 250), (92, 170, 236)), "sunset": ((255, 206, 128), (214, 96, 132)), "night": ((66, 76, 136), (16, 20, 54)),
}
GROUND = {"grass": (112, 184, 88), "sand": (238, 210, 148), "snow": (238, 244, 252), "water": (58, 142, 200)}
LIGHT = {"day": (1.0, 1.0, 1.0), "sunset": (0.94, 0.78, 0.74), "night": (0.36, 0.42, 0.68)}


def mix(a, b, share):
    return tuple(x + (y - x) * share for x, y in zip(a, b))


def lighter(rgb, share=0.3):
    return mix(rgb, (255, 255, 255), share)


def darker(rgb, share=0.25):
    return mix(rgb, (20, 10, 40), share)


class Sheet:
    """A square RGBA picture in unit coordinates: x to the right, y down, both 0..1."""

    def __init__(self, pixels):
        self.side = pixels * FINE
        self.rgb = np.zeros((self.side, self.side, 3), np.float32)
        self.alpha = np.zeros((self.side, self.side), np.float32)

    def mask(self, shape, points, cut=None):
        image = Image.new("L", (self.side, self.side), 0)
        flat = [v * self.side for p in points for v in p] if shape == "polygon" else [v * self.side for v in points]
        draw = ImageDraw.Draw(image)
        if shape == "round":
            draw.rounded_rectangle(flat[:4], radius=flat[4], fill=255)
        else:
            getattr(draw, shape)(flat, fill=255)
        if cut is not None:
            image = ImageChops.multiply(image, cut)
        return image

    def fill(self, mask, top, bottom=None):
        """A vertical gradient over the rows that the mask covers."""
        m = np.asarray(mask, np.float32) / 255
        rows = np.flatnonzero(m.any(1))
        if not len(rows):
            return
        ramp = np.clip((np.arange(self.side) - rows[0]) / max(1, rows[-1] - rows[0]), 0, 1)[:, None, None]
        color = np.asarray(top, np.float32) * (1 - ramp) + np.asarray(bottom or top, np.float32) * ramp
        self.rgb += m[..., None] * (color - self.rgb)
        self.alpha = np.maximum(self.alpha, m)

    def draw(self, shape, points, top, bottom=None, cut=None):
        self.fill(self.mask(shape, points, cut), top, bottom)

    def pixels(self):
        a = self.alpha[..., None]
        s, k = self.side // FINE, FINE
        rgba = np.concatenate((self.rgb * a, a), -1).reshape(s, k, s, k, 4).mean((1, 3))
        rgba[..., :3] /= np.maximum(rgba[..., 3:], 1e-6)
        return rgba


def circle(x, y, r):
    return (x - r, y - r, x + r, y + r)


def house(s, c):
    s.draw("rectangle", (.66, .12, .76, .4), (150, 92, 78), (120, 70, 62))
    s.draw("rectangle", (.17, .42, .83, .96), lighter(c, .22), c)
    s.draw("polygon", [(.5, .06), (.95, .46), (.05, .46)], darker(c, .3), darker(c, .5))
    s.draw("rectangle", (.17, .46, .83, .5), darker(c, .25))
    s.draw("round", (.42, .64, .6, .98, .03), (120, 74, 48), (92, 54, 36))
    s.draw("ellipse", circle(.565, .81, .014), (250, 214, 90))
    for x in (.23, .66):
        s.draw("rectangle", (x, .57, x + .12, .73), (255, 252, 240))
        s.draw("rectangle", (x + .013, .583, x + .107, .717), (255, 240, 170), (150, 206, 240))
        s.draw("rectangle", (x + .054, .57, x + .066, .73), (255, 252, 240))
    s.draw("rectangle", (.14, .94, .86, .98), (120, 112, 108))


def tree(s, c):
    s.draw("polygon", [(.45, .5), (.55, .5), (.59, .98), (.41, .98)], (146, 98, 62), (104, 66, 42))
    for x, y, r in ((.3, .44, .22), (.7, .44, .22), (.5, .27, .24), (.5, .48, .22)):
        s.draw("ellipse", circle(x, y, r), lighter(c, .12), darker(c, .22))
    for x, y, r in ((.42, .2, .1), (.25, .38, .09), (.62, .38, .09)):
        s.draw("ellipse", circle(x, y, r), lighter(c, .36), lighter(c, .1))


def car(s, c):
    s.draw("polygon", [(.2, .66), (.33, .44), (.68, .44), (.83, .66)], lighter(c, .2), c)
    s.draw("polygon", [(.28, .645), (.365, .485), (.485, .485), (.485, .645)], (226, 244, 255), (140, 196, 232))
    s.draw("polygon", [(.525, .645), (.525, .485), (.65, .485), (.755, .645)], (226, 244, 255), (140, 196, 232))
    s.draw("round", (.04, .62, .96, .87, .08), lighter(c, .1), darker(c, .25))
    s.draw("rectangle", (.5, .67, .512, .84), darker(c, .35))
    s.draw("rectangle", (.545, .7, .61, .716), darker(c, .4))
    s.draw("ellipse", circle(.91, .72, .035), (255, 244, 180))
    s.draw("ellipse", circle(.08, .72, .028), (214, 60, 50))
    for x in (.26, .74):
        s.draw("ellipse", circle(x, .86, .12), (52, 52, 62), (30, 30, 38))
        s.draw("ellipse", circle(x, .86, .062), (222, 226, 232), (150, 156, 168))


def boat(s, c):
    s.draw("rectangle", (.475, .06, .505, .76), (140, 96, 62))
    s.draw("polygon", [(.52, .1), (.9, .66), (.52, .66)], (255, 255, 255), (222, 228, 240))
    s.draw("polygon", [(.46, .16), (.46, .66), (.16, .66)], (248, 248, 252), (208, 216, 232))
    s.draw("polygon", [(.505, .05), (.66, .09), (.505, .13)], c)
    s.draw("polygon", [(.05, .72), (.95, .72), (.8, .96), (.2, .96)], lighter(c, .12), darker(c, .3))
    s.draw("polygon", [(.05, .72), (.95, .72), (.925, .77), (.075, .77)], lighter(c, .5))
    for x in (.34, .5, .66):
        s.draw("ellipse", circle(x, .85, .026), (255, 250, 230))


def ball(s, c):
    disc = s.mask("ellipse", circle(.5, .58, .39))
    s.fill(disc, lighter(c, .2), darker(c, .3))
    s.draw("ellipse", (.3, .1, .7, 1.06), (255, 255, 255), (214, 214, 226), disc)
    s.draw("ellipse", (.41, .1, .59, 1.06), lighter(c, .15), darker(c, .25), disc)
    s.draw("ellipse", circle(.5, .215, .06), lighter(c, .5), c, disc)
    s.draw("ellipse", (.24, .32, .4, .46), lighter(c, .65), lighter(c, .4), disc)


def flower(s, c):
    s.draw("rectangle", (.47, .45, .53, .97), (70, 150, 70), (44, 112, 54))
    s.draw("ellipse", (.5, .7, .74, .84), (92, 172, 84), (58, 132, 62))
    s.draw("ellipse", (.26, .76, .5, .9), (92, 172, 84), (58, 132, 62))
    for i in range(6):
        a = pi * i / 3
        s.draw("ellipse", circle(.5 + .17 * sin(a), .33 - .17 * cos(a), .125), lighter(c, .22), darker(c, .08))
    s.draw("ellipse", circle(.5, .33, .1), (255, 226, 96), (240, 172, 40))


def mushroom(s, c):
    s.draw("round", (.37, .5, .63, .97, .1), (255, 250, 236), (222, 206, 182))
    cap = s.mask("ellipse", (.1, .14, .9, .98), s.mask("rectangle", (0, 0, 1, .57)))
    s.fill(cap, lighter(c, .2), darker(c, .18))
    for x, y, r in ((.5, .27, .075), (.28, .42, .06), (.7, .43, .065)):
        s.draw("ellipse", circle(x, y, r), (255, 255, 255), (236, 232, 240), cap)
    s.draw("rectangle", (.12, .545, .88, .58), (250, 236, 214))


def balloon(s, c):
    disc = s.mask("ellipse", (.16, .03, .84, .73))
    s.draw("polygon", [(.2, .5), (.8, .5), (.58, .79), (.42, .79)], c, darker(c, .3))
    s.fill(disc, lighter(c, .22), darker(c, .1))
    s.draw("ellipse", (.3, .03, .7, .73), (255, 255, 255), (226, 226, 236), disc)
    s.draw("ellipse", (.42, .03, .58, .73), lighter(c, .16), darker(c, .14), disc)
    for x, y in ((.43, .44), (.57, .56)):
        s.draw("polygon", [(x - .007, .78), (x + .007, .78), (y - .05 + .007, .86), (y - .05 - .007, .86)], (120, 84, 60))
    s.draw("round", (.4, .84, .6, .98, .03), (190, 132, 76), (138, 88, 50))
    s.draw("rectangle", (.39, .84, .61, .87), (220, 166, 104))


def heart(s, c):
    points = []
    for i in range(90):
        t = 2 * pi * i / 90
        points.append((.5 + 16 * sin(t) ** 3 / 38, .46 - (13 * cos(t) - 5 * cos(2 * t) - 2 * cos(3 * t) - cos(4 * t)) / 36))
    s.draw("polygon", points, lighter(c, .18), darker(c, .25))
    s.draw("ellipse", (.2, .24, .36, .4), lighter(c, .65), lighter(c, .35))


def kite(s, c):
    for i, (x, y) in enumerate(((.5, .74), (.56, .83), (.5, .92))):
        s.draw("polygon", [(x - .07, y - .025), (x, y), (x - .07, y + .025)], lighter(c, .3))
        s.draw("polygon", [(x + .07, y - .025), (x, y), (x + .07, y + .025)], darker(c, .2))
        s.draw("ellipse", circle(x, y, .018), (90, 80, 90))
    s.draw("polygon", [(.5, .04), (.84, .32), (.5, .7), (.16, .32)], c)
    s.draw("polygon", [(.5, .04), (.5, .32), (.16, .32)], lighter(c, .45), lighter(c, .3))
    s.draw("polygon", [(.5, .32), (.84, .32), (.5, .7)], darker(c, .2), darker(c, .35))
    s.draw("rectangle", (.493, .04, .507, .7), (255, 250, 240))
    s.draw("rectangle", (.16, .314, .84, .326), (255, 250, 240))


def star(s, c):
    points = [(.5 + (.47 if i % 2 == 0 else .2) * sin(pi * i / 5), .53 - (.47 if i % 2 == 0 else .2) * cos(pi * i / 5)) for i in range(10)]
    s.draw("polygon", points, lighter(c, .15), c)
    for i in range(0, 10, 2):
        s.draw("polygon", [points[i], (.5, .53), points[(i + 1) % 10]], darker(c, .14))


def bird(s, c):
    s.draw("polygon", [(.06, .42), (.3, .5), (.24, .66)], darker(c, .3))
    s.draw("ellipse", (.16, .38, .74, .78), lighter(c, .12), darker(c, .18))
    s.draw("ellipse", circle(.7, .42, .16), lighter(c, .16), c)
    s.draw("polygon", [(.84, .38), (.97, .45), (.84, .49)], (250, 170, 50))
    s.draw("ellipse", circle(.745, .39, .03), (30, 30, 40))
    s.draw("polygon", [(.28, .54), (.58, .52), (.36, .12)], lighter(c, .4), darker(c, .05))
    s.draw("ellipse", (.4, .6, .62, .76), lighter(c, .5))


DRAW = {"house": house, "tree": tree, "car": car, "boat": boat, "ball": ball, "flower": flower, "mushroom": mushroom,
        "balloon": balloon, "heart": heart, "kite": kite, "star": star, "bird": bird}


@lru_cache(None)
def drawing(kind, color, pixels):
    sheet = Sheet(pixels)
    DRAW[kind](sheet, COLORS[color])
    return sheet.pixels()


@lru_cache(None)
def block(kind, color, amount):
    """RGBA float [256,256,4], colours 0..255, alpha 0..1. `amount`: a size, or how many (1..4)."""
    out = np.zeros((BLOCK, BLOCK, 4), np.float32)
    if kind in COUNTED:
        pixels = 120 if kind in SKY_KINDS else 92
        picture = drawing(kind, color, pixels)
        if kind in SKY_KINDS:   # one in each token
            spots = [(4, 132), (132, 132), (4, 4), (132, 4)][:amount]
        else:                   # in a row on the ground
            picture = drawing(kind, color, pixels)[:, 14:78]
            spots = [(64 * i, 150) for i in range(amount)]
    else:
        pixels = 248 if amount == "large" else 152
        picture = drawing(kind, color, pixels)
        x = (BLOCK - pixels) // 2
        spots = [(x, BLOCK - pixels - 8 if kind in GROUND_KINDS else x)]
    for x, y in spots:
        out[y:y + picture.shape[0], x:x + picture.shape[1]] = picture
    return out


def soft(name):
    return COLORS[name] if name == "white" else mix(COLORS[name], (255, 255, 255), .42)


SPOTS = [(24, 30, 5), (90, 22, 3.5), (60, 84, 4), (104, 98, 5), (14, 100, 3)]


@lru_cache(None)
def ground_token(time, ground, row, mark):
    """RGB float [128,128,3]: `row` 0 touches the horizon and fades; `mark` None, 0 or 1: a small ornament."""
    base, light = GROUND[ground], LIGHT[time]
    lit = lambda rgb: tuple(v * f for v, f in zip(rgb, light))
    near = lighter(base, .32) if row == 0 else base
    ramp = np.linspace(0, 1, TOKEN)[:, None, None]
    out = np.asarray(lit(near), np.float32) * (1 - ramp) + np.asarray(lit(base), np.float32) * ramp
    out = np.broadcast_to(out, (TOKEN, TOKEN, 3)).astype(np.float32)
    if mark is None:
        return out
    sheet = Sheet(TOKEN)
    ox = .12 * mark
    if ground == "grass":
        for x, y in ((.3, .4), (.62 + ox, .7)):
            for dx in (-.07, 0, .07):
                sheet.draw("polygon", [(x - .018 + dx * .5, y), (x + .018 + dx * .5, y), (x + dx * 1.4, y - .17)], lit(darker(base, .3)))
        if mark:
            sheet.draw("ellipse", circle(.26, .76, .045), lit((255, 255, 255)))
            sheet.draw("ellipse", circle(.26, .76, .018), lit((250, 206, 70)))
    elif ground == "sand":
        for x, y, r in SPOTS:
            sheet.draw("ellipse", circle(x / 128, (y / 128 + ox) % 1, r / 160), lit(darker(base, .16)))
        if mark:
            sheet.draw("ellipse", (.5, .42, .72, .58), lit((250, 190, 170)), lit((226, 150, 136)))
    elif ground == "snow":
        sheet.draw("ellipse", (.1 + ox, .3, .6 + ox, .42), lit((218, 228, 246)))
        sheet.draw("ellipse", (.4 - ox, .68, .95 - ox, .8), lit((224, 232, 248)))
    else:
        for x, y in ((.1, .3), (.45 + ox, .62)):
            sheet.draw("round", (x, y, x + .36, y + .035, .017), lit(lighter(base, .5)))
        sheet.draw("round", (.2 - ox, .85, .42 - ox, .88, .015), lit(lighter(base, .3)))
    picture = sheet.pixels()
    return out + picture[..., 3:] * (picture[..., :3] - out)


@lru_cache(None)
def sky_token(time, ground, level, mark):
    """RGB float [128,128,3]: `level` 1 touches the horizon (far hills), 4 and above are even; `mark` as above (stars)."""
    low, high = (np.asarray(v, np.float32) for v in SKY[time])
    height = np.clip((level - np.linspace(0, 1, TOKEN)) / 4, 0, 1)[:, None, None]
    out = np.broadcast_to(low + (high - low) * height, (TOKEN, TOKEN, 3)).astype(np.float32)
    sheet = Sheet(TOKEN)
    if level == 1 and ground != "water":
        base, light = GROUND[ground], LIGHT[time]
        color = mix(tuple(v * f * .86 for v, f in zip(base, light)), SKY[time][0], .35)
        xs = np.linspace(0, 1, 65)
        if ground == "snow":
            points = [(0, .86), (.24, .62), (.36, .72), (.62, .5), (.86, .78), (1, .86)]
        else:
            points = [(x, .82 - .1 * cos(2 * pi * x) * (1 if ground == "grass" else .55)) for x in xs]
        sheet.draw("polygon", points + [(1, 1), (0, 1)], lighter(color, .1), color)
    if mark is not None:
        for x, y, r in SPOTS[2 * mark:2 * mark + 3]:
            sheet.draw("ellipse", circle(x / 128, y / 128, r / 200), (255, 252, 226))
    picture = sheet.pixels()
    return out + picture[..., 3:] * (picture[..., :3] - out)


@lru_cache(None)
def plain_token(color):
    return np.broadcast_to(np.asarray(soft(color), np.float32), (TOKEN, TOKEN, 3))
