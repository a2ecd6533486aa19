"""Pictures from outside the world, made from noise and polygons: what photographs are to a model that must not spoil them."""
import numpy as np
from PIL import Image, ImageDraw


def texture(rng, height, width):
    """uint8 [height,width,3]: coloured noise with a natural spectrum, at times with shapes over it. `rng`: numpy Generator."""
    fy, fx = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]
    falloff = np.maximum(np.hypot(fy, fx), 1 / max(height, width)) ** -rng.uniform(1.0, 2.2)
    shape = (3, height, fx.shape[1])
    spectrum = (rng.standard_normal(shape) + 1j * rng.standard_normal(shape)) * falloff
    field = np.fft.irfft2(spectrum, s=(height, width))
    field /= field.std((1, 2), keepdims=True) + 1e-9
    mixing = np.eye(3) * rng.uniform(.1, .8) + rng.uniform(.3, 1)
    picture = np.einsum("ij,jhw->hwi", mixing, field) * rng.uniform(15, 60) / 1.5 + rng.uniform(40, 215, 3)
    image = Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    for _ in range(rng.integers(0, 5)):
        color = tuple(int(v) for v in rng.integers(0, 256, 3))
        x, y, r = rng.uniform(0, width), rng.uniform(0, height), rng.uniform(.05, .4) * max(height, width)
        if rng.random() < .5:
            draw.ellipse((x - r, y - r * rng.uniform(.4, 1), x + r, y + r), fill=color)
        else:
            points = [(x + r * rng.standard_normal(), y + r * rng.standard_normal()) for _ in range(rng.integers(3, 7))]
            draw.polygon(points, fill=color)
    return np.asarray(image)


def cells(picture, side=64):
    """[H,W,3] -> [n, side*side*3], whole cells only, row by row."""
    h, w = picture.shape[0] // side, picture.shape[1] // side
    picture = picture[:h * side, :w * side]
    return picture.reshape(h, side, w, side, 3).transpose(0, 2, 1, 3, 4).reshape(h * w, -1)
