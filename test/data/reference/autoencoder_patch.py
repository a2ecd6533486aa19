"""AutoencoderKL with a patch, without attention, in torch: random weights, inputs and results.

python autoencoder_patch.py DIR writes ae_patch_tiny.safetensors (diffusers' names, bf16) and
ae_patch_tiny_io.safetensors: a patch of 8 and two levels. ae_shuffle_tiny and its io: an encoder with one level and a
decoder of its own, whose two levels grow by a pixel_shuffle of 4. Facts: black-forest-labs/flux autoencoder.py; diffusers
vae.py, resnet.py, autoencoder_dc.py.
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

PATCH = {
    "_class_name": "AutoencoderKL", "act_fn": "silu", "in_channels": 3, "out_channels": 3, "latent_channels": 4,
    "block_out_channels": [16, 32], "layers_per_block": 1, "norm_num_groups": 16, "patch_size": 8,
    "mid_block_add_attention": False, "scaling_factor": 0.9, "shift_factor": 0.1,
}
SHUFFLE = PATCH | {"block_out_channels": [32], "decoder_block_out_channels": [16, 32], "upsample_factor": 4}
GROUPS, LATENT = 16, 4


class Resnet(nn.Module):
    def __init__(self, cin, cout):
        super().__init__()
        self.norm1, self.norm2 = (nn.GroupNorm(GROUPS, c, eps=1e-6) for c in (cin, cout))
        self.conv1, self.conv2 = nn.Conv2d(cin, cout, 3, padding=1), nn.Conv2d(cout, cout, 3, padding=1)
        if cin != cout:
            self.conv_shortcut = nn.Conv2d(cin, cout, 1)

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (self.conv_shortcut(x) if hasattr(self, "conv_shortcut") else x)


class Stage(nn.Module):
    def __init__(self, widths, sampler=None, factor=None, finer=None):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(a, b) for a, b in zip(widths, widths[1:]))
        self.factor = factor
        if sampler:
            cout = finer * factor**2 if factor else widths[-1]
            conv = nn.Conv2d(widths[-1], cout, 3, **({"stride": 2} if sampler == "downsamplers" else {"padding": 1}))
            setattr(self, sampler, nn.ModuleList([nn.ModuleDict({"conv": conv})]))

    def forward(self, x):
        for resnet in self.resnets:
            x = resnet(x)
        if hasattr(self, "downsamplers"):
            x = self.downsamplers[0]["conv"](F.pad(x, (0, 1, 0, 1)))
        if hasattr(self, "upsamplers") and self.factor:
            x = F.pixel_shuffle(self.upsamplers[0]["conv"](x), self.factor)
        elif hasattr(self, "upsamplers"):
            x = self.upsamplers[0]["conv"](F.interpolate(x, scale_factor=2.0, mode="nearest"))
        return x


class Half(nn.Module):
    """The encoder's or the decoder's parts, in diffusers' names."""

    def __init__(self, cin, first, last, cout):
        super().__init__()
        self.conv_in = nn.Conv2d(cin, first, 3, padding=1)
        self.conv_norm_out = nn.GroupNorm(GROUPS, last, eps=1e-6)
        self.conv_out = nn.Conv2d(last, cout, 3, padding=1)
        self.mid_block = Stage([max(first, last)] * 3)  # the coarsest level is the widest

    def end(self, x):
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Autoencoder(nn.Module):
    def __init__(self, config):
        super().__init__()
        down, self.patch = config["block_out_channels"], config["patch_size"]
        up, factor = config.get("decoder_block_out_channels", down), config.get("upsample_factor")
        self.decoder_patch = self.patch * 2 ** (len(down) - 1) // (factor or 2) ** (len(up) - 1)
        a, b = down[0], down[-1]
        self.encoder = Half(3 * self.patch**2, a, b, 2 * LATENT)
        self.encoder.down_blocks = nn.ModuleList([Stage([a, a], "downsamplers"), Stage([a, b])] if len(down) == 2 else [Stage([a, a])])
        a, b = up
        self.decoder = Half(LATENT, b, a, 3 * self.decoder_patch**2)
        self.decoder.up_blocks = nn.ModuleList([Stage([b, b, b], "upsamplers", factor, a), Stage([a if factor else b, a, a])])

    def encode(self, image):
        x = self.encoder.conv_in(F.pixel_unshuffle(image, self.patch))
        for stage in self.encoder.down_blocks:
            x = stage(x)
        return self.encoder.end(self.encoder.mid_block(x))

    def decode(self, latent):
        x = self.decoder.mid_block(self.decoder.conv_in(latent))
        for stage in self.decoder.up_blocks:
            x = stage(x)
        return F.pixel_shuffle(self.decoder.end(x), self.decoder_patch)


@torch.no_grad()
def write(folder, name, config):
    torch.manual_seed(23)
    model = Autoencoder(config)
    for parameter in model.parameters():  # norms with weights other than one and biases other than zero
        parameter += torch.randn_like(parameter) * 0.05
        parameter.copy_(parameter.bfloat16())  # what the file holds is what the results are computed with
    io = {"image": torch.rand(1, 3, 32, 48) * 2 - 1, "decoder_latent": torch.randn(1, LATENT, 3, 2)}
    io["moments"] = model.encode(io["image"])
    io["latent"] = (io["moments"][:, :LATENT] - config["shift_factor"]) * config["scaling_factor"]
    io["decoded"] = model.decode(io["decoder_latent"])
    metadata = {"ae_config": json.dumps(config)}
    weights = {k: v.bfloat16() for k, v in model.state_dict().items()}
    save_file(weights, folder / f"{name}.safetensors", metadata)
    save_file({k: v.contiguous() for k, v in io.items()}, folder / f"{name}_io.safetensors")


if __name__ == "__main__":
    for name, config in (("ae_patch_tiny", PATCH), ("ae_shuffle_tiny", SHUFFLE)):
        write(pathlib.Path(sys.argv[1]), name, config)
