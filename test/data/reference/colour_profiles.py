"""
PNG files of 8 and 16 bits, grey and RGB, with and without transparency, each with an embedded colour profile, and their
pixels in sRGB as Pillow and LittleCMS convert them (perceptual intent): ../colours/*.png and ../colours/pixels.json.
Needs pillow and numpy.
"""

import io
import json
import pathlib
import struct
import zlib

import numpy as np
from PIL import Image, ImageCms

folder = pathlib.Path(__file__).parent.parent / "colours"
folder.mkdir(exist_ok=True)
rng = np.random.default_rng(3)
side = 8
D50 = (0.9642, 1, 0.8249)


def fixed(values):
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def xyz(values):
    return b"XYZ \0\0\0\0" + fixed(values)


def curve(gamma):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(gamma * 256)) + b"\0\0"


def profile(space, tags):
    """ICC.1:2001-04: a header of 128 bytes, the table of tags, their data."""
    description = b"desc\0\0\0\0" + struct.pack(">I", 5) + b"test\0" + bytes(78)
    tags = {**tags, "wtpt": xyz(D50), "desc": description, "cprt": b"text\0\0\0\0CC0\0"}
    start = 128 + 4 + 12 * len(tags)
    table = body = b""
    for name, data in tags.items():
        data += bytes(-len(data) % 4)
        table += name.encode() + struct.pack(">II", start + len(body), len(data))
        body += data
    header = struct.pack(">I4sI4s4s4s", start + len(body), b"lcms", 0x02400000, b"mntr", space, b"XYZ ")
    header += bytes(12) + b"acsp" + bytes(28) + fixed(D50) + bytes(48)
    return header + struct.pack(">I", len(tags)) + table + body


def rgb_profile(red, green, blue, gamma):
    colorants = {"rXYZ": xyz(red), "gXYZ": xyz(green), "bXYZ": xyz(blue)}
    return profile(b"RGB ", {**colorants, **{name: curve(gamma) for name in ("rTRC", "gTRC", "bTRC")}})


srgb = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB"))
adobe = rgb_profile((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457), 2.2)
prophoto = rgb_profile((0.7977, 0.2880, 0), (0.1352, 0.7119, 0), (0.0313, 0.0001, 0.8249), 1.8)
grey_profiles = {f"gamma{gamma}": profile(b"GRAY", {"kTRC": curve(gamma)}) for gamma in (1.0, 2.2)}


def chunk(kind, data):
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png(samples, bits, icc):
    height, width, channels = samples.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    lines = b"".join(b"\0" + line.astype(">u2" if bits == 16 else "u1").tobytes() for line in samples)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0))
    profile_chunk = chunk(b"iCCP", b"profile\0\0" + zlib.compress(icc))
    return b"\x89PNG\r\n\x1a\n" + header + profile_chunk + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")


pixels = {}


def keep(name, high, icc, mode):
    """`high` is the upper byte of every sample, and of grey the lower one too, which libvips rounds; of RGB the lower
    one is noise. The last row of the second file is clear."""
    image = Image.fromarray(high.squeeze().astype("u1"), mode)
    source = ImageCms.ImageCmsProfile(io.BytesIO(icc))
    expected = np.asarray(ImageCms.profileToProfile(image, source, srgb, renderingIntent=0, outputMode="RGB")).copy()
    for bits in (8, 16):
        low = high if mode == "L" else rng.integers(0, 256, high.shape)
        samples = high * 256 + low if bits == 16 else high
        alpha = np.full((side, side, 1), 2**bits - 1)
        alpha[-1] = 0
        white = expected.copy()
        white[-1] = 255
        for suffix, data, result in (("", samples, expected), ("-alpha", np.concatenate([samples, alpha], 2), white)):
            file = f"{mode.lower()}{bits}-{name}{suffix}"
            (folder / f"{file}.png").write_bytes(png(data, bits, icc))
            pixels[file] = result.ravel().tolist()


colours = rng.integers(0, 256, (side, side, 3))
colours[0] = [[255, 0, 0], [0, 255, 0], [0, 0, 255], [200, 80, 60], [0, 0, 0], [255, 255, 255], [128, 128, 128], [20, 20, 20]]
for name, icc in (("srgb", srgb.tobytes()), ("adobe", adobe), ("prophoto", prophoto)):
    keep(name, colours, icc, "RGB")
for name, icc in grey_profiles.items():
    keep(name, np.arange(side * side).reshape(side, side, 1) * 4 + 2, icc, "L")

json.dump({"width": side, "height": side, "pixels": pixels}, open(folder / "pixels.json", "w"))
