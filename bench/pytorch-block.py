"""One block of FLUX.1's width in PyTorch, as a peer of `npm run bench -- block`: prints the seconds of one pass.

The operations of black-forest-labs/flux `modules/layers.py` with random weights, all different: --peer
'PyTorch bf16=python3 bench/pytorch-block.py bfloat16'. The work comes from RETOUCH_BLOCK, RETOUCH_TOKENS,
RETOUCH_TEXT_TOKENS and RETOUCH_THREADS. The time is of the second pass, since the first packs weights and allocates.
"""
import os
import sys
import time

import torch
from torch.nn.functional import gelu, layer_norm, linear, rms_norm, scaled_dot_product_attention, silu

HIDDEN, HEADS, MLP = 3072, 24, 12288
DTYPE = getattr(torch, sys.argv[1])


def layer(inputs, outputs):
    return (torch.randn(outputs, inputs) * inputs ** -0.5).to(DTYPE), (torch.randn(outputs) * 0.02).to(DTYPE)


def modulation(vec, weights, parts):
    return linear(silu(vec), *weights).chunk(parts, -1)


def modulated(x, shift, scale):
    return (1 + scale) * layer_norm(x, (HIDDEN,), eps=1e-6) + shift


def heads(x):
    return x.view(-1, HEADS, HIDDEN // HEADS).transpose(0, 1)[None]


def rotated(x, cos, sin):
    even, odd = x.float().unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack((cos * even - sin * odd, sin * even + cos * odd), -1).flatten(-2).to(x.dtype)


def attention(q, k, v, pe):
    out = scaled_dot_product_attention(rotated(q, *pe), rotated(k, *pe), v)
    return out[0].transpose(0, 1).reshape(-1, HIDDEN)


class Single:
    def __init__(self):
        self.lin, self.linear1 = layer(HIDDEN, 3 * HIDDEN), layer(HIDDEN, 3 * HIDDEN + MLP)
        self.linear2, self.norm = layer(HIDDEN + MLP, HIDDEN), torch.rand(2, HIDDEN // HEADS).to(DTYPE) + 0.5

    def __call__(self, x, vec, pe, _):
        shift, scale, gate = modulation(vec, self.lin, 3)
        q, k, v, h = linear(modulated(x, shift, scale), *self.linear1).split((HIDDEN, HIDDEN, HIDDEN, MLP), -1)
        q, k = (rms_norm(heads(each), (HIDDEN // HEADS,), w, 1e-6) for each, w in zip((q, k), self.norm))
        attn = attention(q, k, heads(v), pe)
        return x + gate * linear(torch.cat((attn, gelu(h, approximate="tanh")), -1), *self.linear2)


class Stream:
    def __init__(self):
        self.lin, self.qkv, self.proj = layer(HIDDEN, 6 * HIDDEN), layer(HIDDEN, 3 * HIDDEN), layer(HIDDEN, HIDDEN)
        self.mlp, self.norm = (layer(HIDDEN, MLP), layer(MLP, HIDDEN)), torch.rand(2, HIDDEN // HEADS).to(DTYPE) + 0.5

    def inputs(self, x, shift, scale):
        q, k, v = map(heads, linear(modulated(x, shift, scale), *self.qkv).chunk(3, -1))
        q, k = (rms_norm(each, (HIDDEN // HEADS,), w, 1e-6) for each, w in zip((q, k), self.norm))
        return q, k, v

    def update(self, x, attn, gate1, shift, scale, gate2):
        x = x + gate1 * linear(attn, *self.proj)
        h = gelu(linear(modulated(x, shift, scale), *self.mlp[0]), approximate="tanh")
        return x + gate2 * linear(h, *self.mlp[1])


class Double:
    def __init__(self):
        self.streams = Stream(), Stream()

    def __call__(self, x, vec, pe, text):
        parts = x[:text], x[text:]
        mods = [modulation(vec, s.lin, 6) for s in self.streams]
        inputs = [s.inputs(part, *mod[:2]) for s, part, mod in zip(self.streams, parts, mods)]
        attn = attention(*(torch.cat(each, 2) for each in zip(*inputs)), pe)
        rows = zip(self.streams, parts, (attn[:text], attn[text:]), mods)
        return [s.update(part, a, *mod[2:]) for s, part, a, mod in rows]


@torch.inference_mode()
def main():
    torch.manual_seed(1)
    torch.set_num_threads(int(os.environ["RETOUCH_THREADS"]))
    tokens, text = int(os.environ["RETOUCH_TOKENS"]), int(os.environ["RETOUCH_TEXT_TOKENS"])
    block = {"double": Double, "single": Single}[os.environ["RETOUCH_BLOCK"]]()
    x, vec = torch.randn(tokens, HIDDEN).to(DTYPE), torch.randn(1, HIDDEN).to(DTYPE)
    angles = torch.rand(tokens, HIDDEN // HEADS // 2) * 6.28
    pe = angles.cos(), angles.sin()
    for _ in range(2):
        begin = time.perf_counter()
        block(x, vec, pe, text)
        seconds = time.perf_counter() - begin
    print(f"{seconds:.4f}")


main()
