"""The image autoencoder: AutoencoderKL's parameter names; every cell of 64x64 pixels is coded on its own.

All convolutions are 1x1 behind a pixel-unshuffle, so encoding is a table lookup for a world of finitely many cells. GroupNorm
would tie the cells of a picture together; `anchored` gives every group two channels of great, constant size, which leave its
mean at zero and its deviation constant, and the norm does nothing. What is trained is `Coder`, on principal components.
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

WIDTH, GROUPS, ANCHOR, LATENT = 320, 8, 4000.0, 32
FREE = WIDTH - 2 * GROUPS
CONFIG = {
    "_class_name": "AutoencoderKL", "act_fn": "silu", "in_channels": 3, "out_channels": 3, "latent_channels": LATENT,
    "block_out_channels": [WIDTH], "layers_per_block": 1, "norm_num_groups": GROUPS, "patch_size": 64, "patch_kernel_size": 1,
    "down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"],
    "mid_block_add_attention": False, "use_quant_conv": False, "use_post_quant_conv": False,
    "scaling_factor": 1.0, "shift_factor": 0.0, "force_upcast": False, "sample_size": 1024,
}


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1, self.conv2 = nn.Linear(FREE, FREE), nn.Linear(FREE, FREE)
        nn.init.zeros_(self.conv2.weight)

    def forward(self, x):
        return x + self.conv2(F.silu(self.conv1(F.silu(x))))


class Coder(nn.Module):
    """[n, components] -> latent [n, 32] of unit deviation -> [n, components]"""

    def __init__(self, components):
        super().__init__()
        self.enter = nn.Linear(components, FREE)
        self.down = nn.Sequential(*(Block() for _ in range(3)))
        self.code = nn.Linear(FREE, LATENT)
        self.open = nn.Linear(LATENT, FREE)
        self.up = nn.Sequential(*(Block() for _ in range(4)))
        self.leave = nn.Linear(FREE, components)
        self.scale = nn.BatchNorm1d(LATENT, affine=False, momentum=.02)

    def encode(self, x):
        return self.scale(self.code(F.silu(self.down(self.enter(x)))))

    def features(self, z):
        return F.silu(self.up(self.open(z)))

    def decode(self, z):
        return self.leave(self.features(z))


def anchored(weight, bias, constant):
    """Rows [FREE, n] -> [WIDTH, n] with two more in each group, which make the group's sum zero; +-ANCHOR if `constant`."""
    w, b = weight.reshape(GROUPS, -1, weight.shape[1]), bias.reshape(GROUPS, -1)
    # what is stored is f16, so the sums are taken of the rounded rows
    half = -.5 * w.half().float().sum(1, keepdim=True), -.5 * b.sum(1, keepdim=True)
    size = ANCHOR if constant else 0.0
    w = torch.cat((w, half[0], half[0]), 1)
    b = torch.cat((b, half[1] + size, half[1] - size), 1)
    return w.reshape(WIDTH, -1), b.reshape(-1)


def padded(weight):
    """Columns [n, FREE] -> [n, WIDTH]: nothing is read from the anchors."""
    w = weight.reshape(len(weight), GROUPS, -1)
    return F.pad(w, (0, 2)).reshape(len(weight), WIDTH)


@torch.no_grad()
def state_dict(coder, basis, mean):
    """Tensors under AutoencoderKL's names. `basis` [components, 12288] orthonormal, over cells (y, x, channel) in [-1,1]."""
    out, c = {}, CONFIG
    basis, mean = (v.reshape(*v.shape[:-1], 64 * 64, 3).transpose(-1, -2).flatten(-2) for v in (basis, mean))  # (channel, y, x)

    def put(name, w, b):
        out[name + ".weight"], out[name + ".bias"] = w[..., None, None].contiguous(), b.contiguous()

    def norm(name):
        deviation = (2 * ANCHOR ** 2 * GROUPS / WIDTH) ** .5
        out[name + ".weight"] = padded(torch.full((1, FREE), deviation))[0]
        out[name + ".bias"] = torch.zeros(WIDTH)

    def resnet(name, block):
        norm(name + ".norm1")
        put(name + ".conv1", *anchored(padded(block.conv1.weight), block.conv1.bias, True))
        norm(name + ".norm2")
        put(name + ".conv2", *anchored(padded(block.conv2.weight), block.conv2.bias, False))
    put("encoder.conv_in", *anchored(coder.enter.weight @ basis, coder.enter.bias - coder.enter.weight @ (basis @ mean), True))
    for name, block in zip(("down_blocks.0.resnets.0", "mid_block.resnets.0", "mid_block.resnets.1"), coder.down):
        resnet("encoder." + name, block)
    norm("encoder.conv_norm_out")
    std = (coder.scale.running_var + coder.scale.eps).sqrt()
    w, b = padded(coder.code.weight) / std[:, None], (coder.code.bias - coder.scale.running_mean) / std
    put("encoder.conv_out", torch.cat((w, torch.zeros_like(w))), torch.cat((b, torch.full_like(b, -20))))
    put("decoder.conv_in", *anchored(coder.open.weight, coder.open.bias, True))
    names = ("mid_block.resnets.0", "mid_block.resnets.1", "up_blocks.0.resnets.0", "up_blocks.0.resnets.1")
    for name, block in zip(names, coder.up):
        resnet("decoder." + name, block)
    norm("decoder.conv_norm_out")
    put("decoder.conv_out", padded(basis.T @ coder.leave.weight), basis.T @ coder.leave.bias + mean)
    assert c["layers_per_block"] == 1
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
        for name in ("down_blocks.0.resnets.0", "mid_block.resnets.0", "mid_block.resnets.1"):
            x = self.resnet(x, "encoder." + name)
        return self.conv(self.norm(x, "encoder.conv_norm_out"), "encoder.conv_out")[:, :LATENT]

    @torch.no_grad()
    def decode(self, z):
        x = self.conv(z, "decoder.conv_in")
        for name in ("mid_block.resnets.0", "mid_block.resnets.1", "up_blocks.0.resnets.0", "up_blocks.0.resnets.1"):
            x = self.resnet(x, "decoder." + name)
        return F.pixel_shuffle(self.conv(self.norm(x, "decoder.conv_norm_out"), "decoder.conv_out"), 64)


def to_tensor(images):
    """uint8 [B,H,W,3] -> float [B,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(x):
    """float [B,3,H,W] -> uint8 [B,H,W,3]."""
    return (x.clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
