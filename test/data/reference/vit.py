"""A random ViTForImageClassification with what transformers computes of a picture, and Pillow's pixels of it.

python vit.py DIR writes model/ with its configurations, and io.safetensors.
"""
import json
import pathlib
import sys

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from transformers import ViTConfig, ViTForImageClassification

out = pathlib.Path(sys.argv[1]) / "model"
torch.manual_seed(7)
config = ViTConfig(
    hidden_size=48,
    num_hidden_layers=3,
    num_attention_heads=4,
    intermediate_size=96,
    image_size=32,
    patch_size=8,
    id2label={0: "normal", 1: "nsfw"},
    label2id={"normal": 0, "nsfw": 1},
)
model = ViTForImageClassification(config).eval()
# The initialisation's weights are so small that every layer is nearly the identity.
for parameter in model.parameters():
    torch.nn.init.normal_(parameter, std=0.3 if parameter.dim() > 1 else 0.1)
model.save_pretrained(out)
(out / "preprocessor_config.json").write_text(
    json.dumps(
        {
            "do_normalize": True,
            "do_rescale": True,
            "do_resize": True,
            "image_mean": [0.5, 0.5, 0.5],
            "image_processor_type": "ViTImageProcessor",
            "image_std": [0.5, 0.5, 0.5],
            "resample": 2,
            "rescale_factor": 0.00392156862745098,
            "size": {"height": 32, "width": 32},
        },
        indent=2,
    )
    + "\n"
)

rng = np.random.RandomState(3)
picture = rng.randint(0, 256, (45, 70, 3), dtype=np.uint8)
resized = np.asarray(Image.fromarray(picture).resize((32, 32), Image.BILINEAR))
pixels = (resized.astype(np.float64) * 0.00392156862745098 - 0.5) / 0.5
pixels = torch.from_numpy(pixels.astype(np.float32)).permute(2, 0, 1)[None].contiguous()
with torch.no_grad():
    logits = model(pixels).logits
save_file(
    {
        "picture": torch.from_numpy(picture),
        "resized": torch.from_numpy(resized.copy()),
        "pixels": pixels,
        "logits": logits,
    },
    out.parent / "io.safetensors",
)
print(logits, logits.softmax(-1))
