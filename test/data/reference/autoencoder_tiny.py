"""AutoencoderTiny (the TAESD family) in torch, written from its description: random weights, inputs and results.

python autoencoder_tiny.py DIR writes taesd_tiny.safetensors (diffusers' names), taesd_tiny_encoder.safetensors and
taesd_tiny_decoder.safetensors (taesd's names) and taesd_tiny_io.safetensors. Facts: madebyollin/taesd taesd.py;
diffusers autoencoder_tiny.py and vae.py (EncoderTiny, DecoderTiny).
"""
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional as F

CONFIG = {
    "_class_name": "AutoencoderTiny", "act_fn": "relu", "in_channels": 3, "out_channels": 3, "latent_channels": 5,
    "encoder_block_out_channels": [12, 12, 12], "decoder_block_out_channels": [12, 12, 12],
    "num_encoder_blocks": [1, 2, 1], "num_decoder_blocks": [2, 1, 1], "upsampling_scaling_factor": 2,
    "upsample_fn": "nearest", "latent_magnitude": 3, "latent_shift": 0.5, "scaling_factor": 1.0, "shift_factor": 0.0,
}


class Block(nn.Module):
    def __init__(self, width):
        super().__init__()
        convs = [nn.Conv2d(width, width, 3, padding=1) for _ in range(3)]
        self.conv = nn.Sequential(convs[0], nn.ReLU(), convs[1], nn.ReLU(), convs[2])

    def forward(self, x):
        return F.relu(x + self.conv(x))


def encoder_layers(cfg):
    layers = []
    for i, (width, blocks) in enumerate(zip(cfg["encoder_block_out_channels"], cfg["num_encoder_blocks"])):
        layers.append(nn.Conv2d(3, width, 3, padding=1) if i == 0 else
                      nn.Conv2d(width, width, 3, padding=1, stride=2, bias=False))
        layers += [Block(width) for _ in range(blocks)]
    return nn.Sequential(*layers, nn.Conv2d(width, cfg["latent_channels"], 3, padding=1))


def decoder_layers(cfg):
    widths, counts = cfg["decoder_block_out_channels"], cfg["num_decoder_blocks"]
    layers = [nn.Conv2d(cfg["latent_channels"], widths[0], 3, padding=1), nn.ReLU()]
    for i, (width, blocks) in enumerate(zip(widths, counts)):
        layers += [Block(width) for _ in range(blocks)]
        if i < len(widths) - 1:
            layers += [nn.Upsample(scale_factor=2), nn.Conv2d(width, width, 3, padding=1, bias=False)]
    return nn.Sequential(*layers, nn.Conv2d(widths[-1], 3, 3, padding=1))


def run(layers, x, prefix, seen):
    for i, layer in enumerate(layers):
        x = layer(x)
        if isinstance(layer, (nn.Conv2d, Block)) and i < len(layers) - 1:
            seen[f"{prefix}.{i}"] = x
    return x


@torch.no_grad()
def main(folder):
    torch.manual_seed(17)
    encoder, decoder = encoder_layers(CONFIG), decoder_layers(CONFIG)
    io = {"image": torch.rand(1, 3, 16, 24) * 2 - 1}
    io["latent"] = run(encoder, (io["image"] + 1) / 2, "act.enc", io)
    # Larger than what random weights give, so that the clamp of the decoder is felt.
    io["decoder_latent"] = torch.randn(1, 5, 4, 6) * 3
    io["decoded"] = run(decoder, torch.tanh(io["decoder_latent"] / 3) * 3, "act.dec", io) * 2 - 1
    metadata = {"taesd_config": json.dumps(CONFIG)}
    ours = {f"encoder.layers.{k}": v for k, v in encoder.state_dict().items()}
    ours |= {f"decoder.layers.{k}": v for k, v in decoder.state_dict().items()}
    save_file(ours, folder / "taesd_tiny.safetensors", metadata)
    save_file(dict(encoder.state_dict()), folder / "taesd_tiny_encoder.safetensors")
    shifted = {f"{int(k.split('.')[0]) + 1}.{k.split('.', 1)[1]}": v for k, v in decoder.state_dict().items()}
    save_file(shifted, folder / "taesd_tiny_decoder.safetensors")
    save_file({k: v.contiguous() for k, v in io.items()}, folder / "taesd_tiny_io.safetensors")


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
