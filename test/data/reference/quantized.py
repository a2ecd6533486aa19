"""Quantised numbers and what they stand for, by the `gguf` package and torch: random blocks of every type read here.

python quantized.py DIR writes ggml_blocks.gguf (random bytes as blocks, with scales that are negative, subnormal and
zero among them), ggml_blocks.safetensors (the same numbers in f32, by gguf.quants.dequantize), ggml_more_blocks the same of further types, float8.safetensors (all
256 codes of both types) and float8_values.safetensors (the same in f32, by torch).
"""
import pathlib
import sys

import gguf
import numpy as np
import torch
from gguf.constants import GGML_QUANT_SIZES, GGMLQuantizationType as T
from gguf.quants import dequantize, quantize
from safetensors.numpy import save_file as save_numpy
from safetensors.torch import save_file

BLOCKS = [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.Q4_K, T.Q5_K, T.Q6_K]
# In files of their own: those of the others stay as they were.
MORE = [T.Q2_K, T.Q3_K, T.IQ4_NL, T.IQ4_XS]
# Where the f16 scales of a block stand.
HALVES = {T.Q4_1: [0, 2], T.Q5_1: [0, 2], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.Q2_K: [80, 82], T.Q3_K: [108]}
# Smallest subnormal, a larger one, their negatives, zeros, the largest, ordinary ones of both signs.
SCALES = np.array([2**-24, 7 * 2**-24, -(2**-24), 0.0, -0.0, 60000.0, 0.0123, -0.0371, 1.5, -2.25], np.float16)
ROWS, WIDTH = 5, 512


def random_blocks(kind, rng):
    size, length = GGML_QUANT_SIZES[kind]
    count = ROWS * WIDTH // size
    blocks = rng.integers(0, 256, (count, length), dtype=np.uint8)
    for at in HALVES.get(kind, [0]):
        blocks[:, at:at + 2] = rng.choice(SCALES, (count, 1)).view(np.uint8)
    return blocks.reshape(ROWS, -1)


def main(folder):
    rng = np.random.default_rng(20251)
    writer = gguf.GGUFWriter(folder / "ggml_blocks.gguf", "flux")
    writer.add_custom_alignment(64)
    writer.add_string("general.name", "blocks of every type")
    writer.add_array("comfy.gguf.orig_shape.reshaped", [10, 128, 2])
    writer.add_array("tokenizer.ggml.tokens", [f"token {i}" for i in range(40)])
    writer.add_array("tokenizer.ggml.scores", [float(i) for i in range(40)])
    values = {}
    for kind in BLOCKS:
        blocks = random_blocks(kind, rng)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        values[kind.name] = torch.from_numpy(dequantize(blocks, kind).reshape(ROWS, WIDTH))
    reshaped = random_blocks(T.Q8_0, rng)
    writer.add_tensor("reshaped", reshaped, raw_dtype=T.Q8_0)
    values["reshaped"] = torch.from_numpy(dequantize(reshaped, T.Q8_0).reshape(10, 128, 2))
    plain = rng.standard_normal((3, 7)).astype(np.float32)
    for kind, numbers in [(T.F32, plain), (T.F16, plain.astype(np.float16)), (T.BF16, quantize(plain, T.BF16))]:
        writer.add_tensor(kind.name, numbers, raw_dtype=kind)
        values[kind.name] = torch.from_numpy(dequantize(numbers, kind).astype(np.float32).reshape(3, 7))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_file({name: value.contiguous() for name, value in values.items()}, folder / "ggml_blocks.safetensors")

    write_more(folder, np.random.default_rng(20261))

    codes = torch.arange(256, dtype=torch.uint8)
    float8 = {"e4m3": codes.clone().view(torch.float8_e4m3fn), "e5m2": codes.clone().view(torch.float8_e5m2)}
    save_file(float8, folder / "float8.safetensors")
    save_file({name: value.float() for name, value in float8.items()}, folder / "float8_values.safetensors")


def write_more(folder, rng):
    writer = gguf.GGUFWriter(folder / "ggml_more_blocks.gguf", "flux")
    values = {}
    for kind in MORE:
        blocks = random_blocks(kind, rng)
        writer.add_tensor(kind.name, blocks, raw_dtype=kind)
        values[kind.name] = dequantize(blocks, kind).reshape(ROWS, WIDTH)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    save_numpy(values, folder / "ggml_more_blocks.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
