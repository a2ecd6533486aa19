"""Random image encoders of CLIP and SigLIP with what transformers computes of a picture, and its processors' pixels.

python vision.py DIR writes clip.safetensors, siglip.safetensors and, for each, X_io.safetensors.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import (
    CLIPImageProcessorPil, CLIPVisionConfig, CLIPVisionModelWithProjection, SiglipImageProcessorPil,
    SiglipVisionConfig, SiglipVisionModel,
)

SIZES = {"hidden_size": 40, "intermediate_size": 72, "num_hidden_layers": 3, "num_attention_heads": 4, "patch_size": 7,
         "image_size": 28}


def randomise(model):
    for name, parameter in model.named_parameters():
        norm = parameter.ndim == 1 and "norm" in name and name.endswith("weight")
        fan = parameter[0].numel() if parameter.ndim > 1 else 100
        torch.nn.init.normal_(parameter, mean=float(norm), std=fan**-0.5)
    return model.eval()


def pictures(rng):
    # Smooth enough that a wrong kernel shows, rough enough that a wrong crop does.
    for width, height in ((50, 33), (31, 64), (28, 28), (20, 17)):
        y, x = np.mgrid[0:height, 0:width]
        waves = [np.sin(x / rng.uniform(1, 9) + y / rng.uniform(1, 9)) for _ in range(3)]
        noise = rng.normal(0, 25, (height, width, 3))
        yield np.clip(127 + 90 * np.stack(waves, -1) + noise, 0, 255).astype(np.uint8)


@torch.no_grad()
def write(folder, name, model, processor):
    rng = np.random.default_rng(5)
    io = {}
    for i, picture in enumerate(pictures(rng)):
        io[f"picture{i}"] = torch.from_numpy(picture)
        pixels = processor(Image.fromarray(picture), return_tensors="pt")["pixel_values"]
        io[f"pixels{i}"] = pixels
        out = model(pixels, output_hidden_states=True)
        io[f"features{i}"] = out.image_embeds if hasattr(out, "image_embeds") else out.pooler_output
        io[f"penultimate{i}"] = out.hidden_states[-2]
    save_file({key: value.contiguous() for key, value in io.items()}, folder / f"{name}_io.safetensors")
    save_file(model.state_dict(), folder / f"{name}.safetensors", {"vision_config": json.dumps(SIZES)})


def main(folder):
    torch.manual_seed(3)
    side = SIZES["image_size"]
    clip = randomise(CLIPVisionModelWithProjection(CLIPVisionConfig(projection_dim=24, hidden_act="quick_gelu", **SIZES)))
    processor = CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size={"height": side, "width": side})
    write(folder, "clip", clip, processor)
    siglip = randomise(SiglipVisionModel(SiglipVisionConfig(**SIZES)))
    # The published so400m's preprocessor_config.json: bicubic, a mean and a deviation of a half.
    write(folder, "siglip", siglip, SiglipImageProcessorPil(size={"height": side, "width": side}, resample=3,
                                                           image_mean=[0.5] * 3, image_std=[0.5] * 3))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
