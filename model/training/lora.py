"""The LoRA `retouch:neon@1`: whatever is drawn or edited comes out in neon (`neon.py`). PEFT's form, diffusers' names."""
from dataclasses import replace

import torch
from torch import nn

from files import MODEL, write_json, write_weights

RANK = 32
FOLDER = MODEL / "adapters/neon"
MANIFEST = {
    "category": "lora", "air": "retouch:neon@1", "name": "Neon", "architecture": "flux-kontext",
    "files": "neon.safetensors", "license": "Apache-2.0",
    "comment": "For retouch:mini@1: every picture comes out as outlines that glow in the dark.", "tags": ["style"],
}
LAYERS = ("to_q", "to_k", "to_v", "to_out.0", "proj_mlp", "proj_out", "ff.net.0.proj", "ff.net.2")


class Adapted(nn.Module):
    """x [..., in] -> W·x + B·A·x"""

    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.a = nn.Parameter(torch.randn(RANK, linear.in_features) / linear.in_features ** .5)
        self.b = nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, x):
        return self.linear(x) + (x @ self.a.T) @ self.b.T


class Neon:
    def __init__(self, editor):
        self.layers = {}
        for name, module in list(editor.transformer.named_modules()):
            if isinstance(module, nn.Linear) and (name == "proj_out" or "blocks." in name and name.endswith(LAYERS)):
                parent, _, last = name.rpartition(".")
                self.layers[name] = Adapted(module)
                setattr(editor.transformer.get_submodule(parent), last, self.layers[name])

    def parameters(self):
        return [p for layer in self.layers.values() for p in (layer.a, layer.b)]

    def choose(self, rng, count):
        """Every picture has the same style."""

    def restyle(self, n, scene):
        return replace(scene, place=("neon", scene.place[0] is not None))

    def prepare(self):
        """Nothing depends on the batch."""

    def write(self):
        state = {}
        for name, layer in self.layers.items():
            state[f"transformer.{name}.lora_A.weight"] = layer.a.detach()
            state[f"transformer.{name}.lora_B.weight"] = layer.b.detach()
        write_weights(FOLDER / MANIFEST["files"], state)
        write_json(FOLDER / "manifest.json", MANIFEST)
        return (FOLDER / MANIFEST["files"]).stat().st_size
