"""Windows bitmaps of every kind we read, and their pixels as Pillow reads them: ../bmp/*.bmp and ../bmp/pixels.json."""

import io
import json
import pathlib
import struct

import numpy as np
from PIL import Image

folder = pathlib.Path(__file__).parent.parent / "bmp"
folder.mkdir(exist_ok=True)
rng = np.random.default_rng(7)
width, height = 7, 5
rgb = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
pixels = {}


def keep(name, data):
    (folder / f"{name}.bmp").write_bytes(data)
    image = Image.open(io.BytesIO(data))
    if image.mode == "RGBA":
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    pixels[name] = np.asarray(image.convert("RGB")).ravel().tolist()


def save(name, image):
    buffer = io.BytesIO()
    image.save(buffer, "BMP")
    keep(name, buffer.getvalue())


def build(bits, compression, body, palette=b"", masks=b"", size=40, height=height, old=False):
    if old:
        header = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        header = struct.pack("<IiiHHIIiiII", size, width, height, 1, bits, compression, len(body), 2835, 2835, len(palette) // 4, 0)
        header += masks
        header += bytes(max(0, size - len(header)))
    offset = 14 + len(header) + len(palette)
    return b"BM" + struct.pack("<IHHI", offset + len(body), 0, 0, offset) + header + palette + body


def rows(lines):
    return b"".join(line + bytes(-len(line) % 4) for line in lines)


image = Image.fromarray(rgb)
save("24", image)
save("8", image.quantize(30))
save("grey", image.convert("L"))
save("1", image.convert("1"))
keep("24-top-down", build(24, 0, rows([rgb[y, :, ::-1].tobytes() for y in range(height)]), height=-height))
keep("24-core", build(24, 0, rows([rgb[y, :, ::-1].tobytes() for y in reversed(range(height))]), old=True))
palette = b"".join(bytes([*rng.integers(0, 256, 3).tolist(), 0]) for _ in range(16))
indices = rng.integers(0, 16, (height, width))


def pack4(line):
    padded = [*line.tolist(), 0]
    return bytes(padded[i] << 4 | padded[i + 1] for i in range(0, width, 2))


keep("4", build(4, 0, rows([pack4(indices[y]) for y in reversed(range(height))]), palette))
words = rng.integers(0, 2**16, (height, width), dtype=np.uint16)
keep("16-555", build(16, 0, rows([(words[y] & 0x7FFF).astype("<u2").tobytes() for y in range(height)])))
masks565 = struct.pack("<III", 0xF800, 0x7E0, 0x1F)
keep("16-565", build(16, 3, rows([words[y].astype("<u2").tobytes() for y in range(height)]), masks=masks565))
quads = rng.integers(0, 2**32, (height, width), dtype=np.uint32)
keep("32", build(32, 0, rows([quads[y].astype("<u4").tobytes() for y in range(height)])))
alpha = struct.pack("<IIII", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
keep("32-alpha", build(32, 3, rows([quads[y].astype("<u4").tobytes() for y in range(height)]), masks=alpha, size=108))

runs8 = b""
for y in reversed(range(height)):
    line = indices[y].tolist()
    runs8 += bytes([3, line[0]]) + bytes([0, 4, *line[3:7]]) + b"\0\0"
keep("rle8", build(8, 1, runs8 + b"\0\1", palette))
runs4 = b""
for y in reversed(range(height)):
    line = indices[y].tolist()
    runs4 += bytes([3, line[0] << 4 | line[1]]) + bytes([0, 4, line[3] << 4 | line[4], line[5] << 4 | line[6]]) + b"\0\0"
keep("rle4", build(4, 2, runs4 + b"\0\1", palette))

json.dump({"width": width, "height": height, "pixels": pixels}, open(folder / "pixels.json", "w"))
