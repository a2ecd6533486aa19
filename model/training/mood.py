"""The IP-Adapter `retouch:mood@1`: the result takes the time of day and the ground of the guide picture.

XLabs' layout (4 tokens, after the double blocks) with an image encoder of CLIP's shape, both trained here.
"""
import random
from dataclasses import replace

import numpy as np
import torch
from PIL import Image, ImageEnhance
from torch import nn
from torch.nn import functional as F
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from files import MODEL, write_json, write_weights
from world import PLACES, SIZES, random_scene, render

FOLDER = MODEL / "adapters/mood"
MANIFEST = {
    "category": "ip-adapter", "air": "retouch:mood@1", "name": "Mood", "architecture": "flux-kontext",
    "files": {"adapter": "mood.safetensors", "imageEncoder": "image_encoder"}, "license": "Apache-2.0",
    "comment": "For retouch:mini@1: takes the time of day and the ground of the guide picture.", "tags": ["style"],
}
VISION = dict(hidden_size=64, intermediate_size=128, num_hidden_layers=2, num_attention_heads=2, image_size=64, patch_size=16,
              projection_dim=64, hidden_act="quick_gelu", layer_norm_eps=1e-5)
TOKENS, WIDTH = 4, 64
MEAN, DEVIATION = (.48145466, .4578275, .40821073), (.26862954, .26130258, .27577711)   # CLIPImageProcessor's
GUIDES = 1200
SCENES = [p for p in PLACES if p[0]]   # times and grounds; plain backgrounds hold no mood


def prepared(picture):
    """uint8 [H,W,3] -> [3,64,64] as CLIPImageProcessor: the short side to 64 (bicubic), the middle, normalised."""
    side, image = VISION["image_size"], Image.fromarray(picture)
    scale = side / min(image.size)
    image = image.resize(tuple(max(side, int(v * scale)) for v in image.size), Image.BICUBIC)
    left, top = ((v - side) // 2 for v in image.size)
    pixels = np.asarray(image.crop((left, top, left + side, top + side)), np.float32) / 255
    return torch.from_numpy((pixels - MEAN) / DEVIATION).permute(2, 0, 1).float()


def guides(count):
    """-> pictures [n,3,64,64] of random scenes a little off in exposure and colour, the places [n] they show"""
    rng, pictures, places = random.Random(11), [], []
    for n in range(count):
        size = rng.choice(SIZES)
        scene = replace(random_scene(rng, *size), place=SCENES[n % len(SCENES)])
        image = Image.fromarray(render(scene, *size)).resize([v // 4 for v in size], Image.BOX)
        image = ImageEnhance.Color(ImageEnhance.Brightness(image).enhance(rng.uniform(.85, 1.15))).enhance(rng.uniform(.7, 1.3))
        pictures.append(prepared(np.asarray(image)))
        places.append(scene.place)
    return torch.stack(pictures), places


class Guided(nn.Module):
    """A double block, and attention of its picture's queries to the guide's keys and values (x-flux `IPDoubleStreamBlockProcessor`)."""

    def __init__(self, block, owner):
        super().__init__()
        dim = block.attn.to_q.in_features
        self.block, self.owner = block, [owner]   # in a list: not a part of this module
        self.key, self.value = nn.Linear(WIDTH, dim), nn.Linear(WIDTH, dim)
        nn.init.zeros_(self.value.weight)
        nn.init.zeros_(self.value.bias)
        block.attn.norm_q.register_forward_hook(lambda module, args, queries: setattr(self, "queries", queries))

    def forward(self, img, txt, vec, table):
        img, txt = self.block(img, txt, vec, table)
        guide = self.owner[0].tokens
        k, v = (self.block.attn.split(layer(guide)) for layer in (self.key, self.value))
        return img + F.scaled_dot_product_attention(self.queries, k, v).transpose(1, 2).flatten(2), txt


class Mood:
    def __init__(self, editor):
        self.encoder = CLIPVisionModelWithProjection(CLIPVisionConfig(**VISION, initializer_factor=1.0))
        self.encoder.config._attn_implementation = "eager"
        self.project, self.norm = nn.Linear(VISION["projection_dim"], TOKENS * WIDTH), nn.LayerNorm(WIDTH, eps=1e-5)
        blocks = editor.transformer.transformer_blocks
        for i, block in enumerate(blocks):
            blocks[i] = Guided(block, self)
        self.blocks, (self.pictures, self.places) = list(blocks), guides(GUIDES)

    def parameters(self):
        modules = [self.encoder, self.project, self.norm] + [m for b in self.blocks for m in (b.key, b.value)]
        return [p for m in modules for p in m.parameters()]

    def choose(self, rng, count):
        self.chosen = [rng.randrange(len(self.places)) for _ in range(count)]

    def restyle(self, n, scene):
        return replace(scene, place=self.places[self.chosen[n]])

    def prepare(self):
        features = self.encoder(pixel_values=self.pictures[self.chosen]).image_embeds
        self.tokens = self.norm(self.project(features).unflatten(-1, (TOKENS, WIDTH)))

    def write(self):
        state = {"ip_adapter_proj_model.proj": self.project, "ip_adapter_proj_model.norm": self.norm}
        for i, block in enumerate(self.blocks):
            place = f"double_blocks.{i}.processor.ip_adapter_double_stream_"
            state.update({place + "k_proj": block.key, place + "v_proj": block.value})
        flat = {f"{name}.{k}": v.detach() for name, module in state.items() for k, v in module.state_dict().items()}
        write_weights(FOLDER / MANIFEST["files"]["adapter"], flat)
        vision = {k: v for k, v in self.encoder.state_dict().items() if "position_ids" not in k}
        write_weights(FOLDER / "image_encoder/model.safetensors", vision)
        write_json(FOLDER / "image_encoder/config.json", {**VISION, "model_type": "clip_vision_model", "architectures": ["CLIPVisionModelWithProjection"]})
        write_json(FOLDER / "manifest.json", MANIFEST)
        return sum(p.stat().st_size for p in FOLDER.rglob("*.safetensors"))
