"""The image autoencoder: AutoencoderKL's parameter names; every cell of 64x64 pixels is coded on its own.

All convolutions are 1x1 behind a pixel-unshuffle, so encoding is a table lookup for a world of finitely many cells. GroupNorm
would tie the cells of a picture together; `anchored` gives every group two channels of great, constant size, which leave its
mean at zero and its deviation constant, and the norm does nothing.
"""
import numpy as np
import torch
from torch.nn import functional as F

from coder import FINE, GROUPS, LATENT, SQUARE, SQUARES, WIDTH

ANCHOR, GROWTH = 4000.0, int(SQUARES ** .5)
CONFIG = {
    "_class_name": "AutoencoderKL", "act_fn": "silu", "in_channels": 3, "out_channels": 3, "latent_channels": LATENT,
    "block_out_channels": [WIDTH], "layers_per_block": 1, "norm_num_groups": GROUPS, "patch_size": 64, "patch_kernel_size": 1,
    "decoder_block_out_channels": [FINE, WIDTH], "upsample_factor": GROWTH,
    "down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D", "UpDecoderBlock2D"],
    "mid_block_add_attention": False, "use_quant_conv": False, "use_post_quant_conv": False,
    "scaling_factor": 1.0, "shift_factor": 0.0, "force_upcast": False, "sample_size": 1024,
}
DOWN = ["encoder." + name for name in ("down_blocks.0.resnets.0", "mid_block.resnets.0", "mid_block.resnets.1")]
UP = ["decoder." + name for name in ("mid_block.resnets.0", "mid_block.resnets.1", "up_blocks.0.resnets.0", "up_blocks.0.resnets.1")]
SPREAD = "decoder.up_blocks.0.upsamplers.0.conv"
UP_FINE = ["decoder.up_blocks.1.resnets.0", "decoder.up_blocks.1.resnets.1"]


def anchored(weight, bias, constant):
    """Rows [free, n] -> [width, n] with two more in each group, which make the group's sum zero; +-ANCHOR if `constant`."""
    w, b = weight.reshape(GROUPS, -1, weight.shape[1]), bias.reshape(GROUPS, -1)
    # what is stored is f16, so the sums are taken of the rounded rows
    half = -.5 * w.half().float().sum(1, keepdim=True), -.5 * b.sum(1, keepdim=True)
    size = ANCHOR if constant else 0.0
    w = torch.cat((w, half[0], half[0]), 1)
    b = torch.cat((b, half[1] + size, half[1] - size), 1)
    return w.flatten(0, 1), b.flatten()


def padded(weight):
    """Columns [n, free] -> [n, width]: nothing is read from the anchors."""
    return F.pad(weight.reshape(len(weight), GROUPS, -1), (0, 2)).flatten(1)


class State(dict):
    """Tensors under AutoencoderKL's names."""

    def conv(self, name, w, b):
        self[name + ".weight"], self[name + ".bias"] = w[..., None, None].contiguous(), b.contiguous()

    def norm(self, name, free):
        width = free + 2 * GROUPS
        self[name + ".weight"] = padded(torch.full((1, free), (2 * ANCHOR ** 2 * GROUPS / width) ** .5))[0]
        self[name + ".bias"] = torch.zeros(width)

    def resnet(self, name, block):
        for n, conv in (1, block.conv1), (2, block.conv2):
            self.norm(f"{name}.norm{n}", conv.in_features)
            self.conv(f"{name}.conv{n}", *anchored(padded(conv.weight), conv.bias, n == 1))


@torch.no_grad()
def encoder_state(coder, basis, mean):
    """Of a Coder. `basis` [components, 12288] orthonormal, over cells (y, x, channel) in [-1,1]."""
    out = State()
    basis, mean = (v.reshape(*v.shape[:-1], 64 * 64, 3).transpose(-1, -2).flatten(-2) for v in (basis, mean))  # (channel, y, x)
    out.conv("encoder.conv_in", *anchored(coder.enter.weight @ basis, coder.enter.bias - coder.enter.weight @ (basis @ mean), True))
    for name, block in zip(DOWN, coder.down):
        out.resnet(name, block)
    out.norm("encoder.conv_norm_out", coder.code.in_features)
    std = (coder.scale.running_var + coder.scale.eps).sqrt()
    w, b = padded(coder.code.weight) / std[:, None], (coder.code.bias - coder.scale.running_mean) / std
    out.conv("encoder.conv_out", torch.cat((w, torch.zeros_like(w))), torch.cat((b, torch.full_like(b, -20))))
    return out


@torch.no_grad()
def decoder_state(decoder):
    """Of a Decoder."""
    out = State()
    out.conv("decoder.conv_in", *anchored(decoder.open.weight, decoder.open.bias, True))
    for name, block in zip(UP, decoder.up):
        out.resnet(name, block)
    rows = zip(padded(decoder.spread.weight).unflatten(0, (SQUARES, -1)), decoder.spread.bias.unflatten(0, (SQUARES, -1)))
    w, b = (torch.stack(v, 1).flatten(0, 1) for v in zip(*(anchored(w, b, True) for w, b in rows)))   # pixel_shuffle's order
    out.conv(SPREAD, w, b)
    for name, block in zip(UP_FINE, decoder.fine):
        out.resnet(name, block)
    out.norm("decoder.conv_norm_out", decoder.leave.in_features)
    out.conv("decoder.conv_out", padded(decoder.leave.weight), decoder.leave.bias)
    return out


class Autoencoder:
    """The exported file in PyTorch, GroupNorm and all: for checks, latents and pictures."""

    def __init__(self, weights):
        self.w = {k: v.float() for k, v in weights.items()}

    def conv(self, x, name):
        return F.conv2d(x, self.w[name + ".weight"], self.w[name + ".bias"])

    def norm(self, x, name):
        return F.silu(F.group_norm(x, GROUPS, self.w[name + ".weight"], self.w[name + ".bias"], 1e-6))

    def resnet(self, x, name):
        h = self.conv(self.norm(x, name + ".norm1"), name + ".conv1")
        return x + self.conv(self.norm(h, name + ".norm2"), name + ".conv2")

    @torch.no_grad()
    def encode(self, x):
        """[B,3,H,W] in [-1,1] -> [B,32,H/64,W/64]"""
        x = self.conv(F.pixel_unshuffle(x, 64), "encoder.conv_in")
        for name in DOWN:
            x = self.resnet(x, name)
        return self.conv(self.norm(x, "encoder.conv_norm_out"), "encoder.conv_out")[:, :LATENT]

    @torch.no_grad()
    def decode(self, z):
        x = self.conv(z, "decoder.conv_in")
        for name in UP:
            x = self.resnet(x, name)
        x = F.pixel_shuffle(self.conv(x, SPREAD), GROWTH)
        for name in UP_FINE:
            x = self.resnet(x, name)
        return F.pixel_shuffle(self.conv(self.norm(x, "decoder.conv_norm_out"), "decoder.conv_out"), SQUARE)


def to_tensor(images):
    """uint8 [B,H,W,3] -> float [B,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(x):
    """float [B,3,H,W] -> uint8 [B,H,W,3]."""
    return (x.clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
