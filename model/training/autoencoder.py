"""The image autoencoder: AutoencoderKL's parameter names, with a pixel-unshuffle stem.

encode: image [B,3,H,W] in [-1,1] -> latent [B,C,H/32,W/32]; decode: back again.
"""
import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

CONFIG = {
    "_class_name": "AutoencoderKL", "act_fn": "silu", "in_channels": 3, "out_channels": 3, "latent_channels": 16,
    "block_out_channels": [192], "layers_per_block": 1, "norm_num_groups": 16, "patch_size": 32, "patch_kernel_size": 1,
    "down_block_types": ["DownEncoderBlock2D"], "up_block_types": ["UpDecoderBlock2D"],
    "mid_block_add_attention": False, "use_quant_conv": False, "use_post_quant_conv": False,
    "scaling_factor": 1.0, "shift_factor": 0.0, "force_upcast": False, "sample_size": 1024,
}


class Resnet(nn.Module):
    def __init__(self, cin, cout, groups):
        super().__init__()
        self.norm1 = nn.GroupNorm(groups, cin, eps=1e-6)
        self.conv1 = nn.Conv2d(cin, cout, 3, padding=1)
        self.norm2 = nn.GroupNorm(groups, cout, eps=1e-6)
        self.conv2 = nn.Conv2d(cout, cout, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(cin, cout, 1) if cin != cout else None

    def forward(self, x):
        h = self.conv1(F.silu(self.norm1(x)))
        h = self.conv2(F.silu(self.norm2(h)))
        return h + (x if self.conv_shortcut is None else self.conv_shortcut(x))


class Down(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, stride=2)

    def forward(self, x):
        return self.conv(F.pad(x, (0, 1, 0, 1)))


class Up(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.conv = nn.Conv2d(c, c, 3, padding=1)

    def forward(self, x):
        return self.conv(F.interpolate(x, scale_factor=2, mode="nearest"))


class Stage(nn.Module):
    def __init__(self, cin, cout, layers, groups, down=False, up=False):
        super().__init__()
        self.resnets = nn.ModuleList(Resnet(cin if i == 0 else cout, cout, groups) for i in range(layers))
        if down:
            self.downsamplers = nn.ModuleList([Down(cout)])
        if up:
            self.upsamplers = nn.ModuleList([Up(cout)])

    def forward(self, x):
        for block in self.resnets:
            x = block(x)
        for name in ("downsamplers", "upsamplers"):
            for block in getattr(self, name, ()):
                x = block(x)
        return x


class Encoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        chans, groups, self.patch = cfg["block_out_channels"], cfg["norm_num_groups"], cfg["patch_size"]
        kernel = cfg["patch_kernel_size"]
        self.conv_in = nn.Conv2d(3 * self.patch ** 2, chans[0], kernel, padding=kernel // 2)
        self.down_blocks = nn.ModuleList(
            Stage(chans[max(i - 1, 0)], c, cfg["layers_per_block"], groups, down=i < len(chans) - 1)
            for i, c in enumerate(chans))
        self.mid_block = Stage(chans[-1], chans[-1], 2, groups)
        self.conv_norm_out = nn.GroupNorm(groups, chans[-1], eps=1e-6)
        self.conv_out = nn.Conv2d(chans[-1], 2 * cfg["latent_channels"], 3, padding=1)

    def forward(self, x):
        x = self.conv_in(F.pixel_unshuffle(x, self.patch))
        for block in self.down_blocks:
            x = block(x)
        x = self.mid_block(x)
        return self.conv_out(F.silu(self.conv_norm_out(x)))


class Decoder(nn.Module):
    def __init__(self, cfg):
        super().__init__()
        chans, groups, self.patch = cfg["block_out_channels"][::-1], cfg["norm_num_groups"], cfg["patch_size"]
        self.conv_in = nn.Conv2d(cfg["latent_channels"], chans[0], 3, padding=1)
        self.mid_block = Stage(chans[0], chans[0], 2, groups)
        self.up_blocks = nn.ModuleList(
            Stage(chans[max(i - 1, 0)], c, cfg["layers_per_block"] + 1, groups, up=i < len(chans) - 1)
            for i, c in enumerate(chans))
        self.conv_norm_out = nn.GroupNorm(groups, chans[-1], eps=1e-6)
        kernel = cfg["patch_kernel_size"]
        self.conv_out = nn.Conv2d(chans[-1], 3 * self.patch ** 2, kernel, padding=kernel // 2)

    def forward(self, z):
        x = self.mid_block(self.conv_in(z))
        for block in self.up_blocks:
            x = block(x)
        return F.pixel_shuffle(self.conv_out(F.silu(self.conv_norm_out(x))), self.patch)


class Autoencoder(nn.Module):
    def __init__(self, cfg=CONFIG):
        super().__init__()
        self.cfg = cfg
        self.encoder, self.decoder = Encoder(cfg), Decoder(cfg)

    def encode(self, x):
        """The mean of the posterior; the log-variance half exists for the file format only."""
        return self.encoder(x)[:, :self.cfg["latent_channels"]]

    def decode(self, z):
        return self.decoder(z)

    @torch.no_grad()
    def fold(self, mean, std):
        """Makes the latent (z - mean) / std, both [C], by changing the convolutions next to it.

        Exact but for the decoder's outermost cells, whose zero padding now means `mean`; train_autoencoder.py
        --decoder runs afterwards and adapts to it.
        """
        c = self.cfg["latent_channels"]
        self.encoder.conv_out.weight[:c] /= std[:, None, None, None]
        self.encoder.conv_out.bias[:c] = (self.encoder.conv_out.bias[:c] - mean) / std
        self.decoder.conv_in.bias += torch.einsum("ocyx,c->o", self.decoder.conv_in.weight, mean)
        self.decoder.conv_in.weight *= std[None, :, None, None]


def to_tensor(images):
    """uint8 [B,H,W,3] -> float [B,3,H,W] in [-1,1]."""
    return torch.from_numpy(np.array(images)).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_bytes(x):
    """float [B,3,H,W] -> uint8 [B,H,W,3]."""
    return (x.clamp(-1, 1) * 127.5 + 127.5).round().byte().permute(0, 2, 3, 1).contiguous().numpy()
