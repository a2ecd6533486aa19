"""Trains the LoRA `retouch:winter@1` on the shipped model: whatever is drawn or edited comes out in the snow.

    python train_lora.py --work DIR --minutes 8

Writes model/adapters/winter/ under PEFT's and diffusers' names.
"""
import argparse
import math
import random
from dataclasses import replace
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import nn

from batches import CREATE, Latents
from files import MODEL, load_editor, write_json
from parallel import Clock, single_thread
from prompts import Texts
from train_transformer import Trainee
from world import PRACTICE, SIZES, layout

RANK = 8
FOLDER = MODEL / "adapters/winter"
MANIFEST = {
    "category": "lora", "air": "retouch:winter@1", "name": "Winter", "architecture": "flux-kontext",
    "files": "winter.safetensors", "license": "Apache-2.0",
    "comment": "For retouch:mini@1: the ground of every picture is covered with snow.", "tags": ["style"],
}


def winter(scene):
    time, _ = scene.place
    return replace(scene, place=(time or "day", "snow"))


class Adapted(nn.Module):
    def __init__(self, linear):
        super().__init__()
        self.linear = linear
        self.a = nn.Parameter(torch.randn(RANK, linear.in_features) / linear.in_features ** .5)
        self.b = nn.Parameter(torch.zeros(linear.out_features, RANK))

    def forward(self, x):
        return self.linear(x) + (x @ self.a.T) @ self.b.T


def adapt(transformer):
    """Puts an adapter on every projection of attention and of the feed-forward networks; -> {name: Adapted}."""
    found = {}
    wanted = ("to_q", "to_k", "to_v", "to_out.0", "proj_mlp", "proj_out", "ff.net.0.proj", "ff.net.2")
    for name, module in list(transformer.named_modules()):
        if isinstance(module, nn.Linear) and "blocks." in name and name.endswith(wanted):
            parent = transformer.get_submodule(name.rpartition(".")[0])
            found[name] = Adapted(module)
            setattr(parent, name.rpartition(".")[2], found[name])
    return found


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(4)
    rng, texts, latents = random.Random(4), Texts(MODEL), Latents(args.work)
    editor = load_editor()[0]
    adapters = adapt(editor.transformer)
    model = Trainee(editor, torch.load(args.work / "latents.pt", weights_only=False)["weights"])
    for p in [*model.early.parameters(), *model.late.parameters(), *model.readers.parameters()]:
        p.requires_grad_(False)
    params = [p for a in adapters.values() for p in (a.a, a.b)]
    optimizer, clock, step, total = torch.optim.AdamW(params, lr=2e-3, weight_decay=0.0), Clock(args.minutes), 0, 0.0
    while (progress := clock()) < 1:
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 20) * (.5 + .5 * math.cos(math.pi * progress)) + 1e-5
        size = rng.choice(PRACTICE if rng.random() < .4 else SIZES)
        create = rng.random() < CREATE
        h, w = layout(*size).grid
        count = max(4, round(1500 / (h * w * (1 if create else 1.8) + 24)))
        b = latents.batch(rng, texts, size, count, create, style=winter)
        v = model.loss(b, 1.0, readings=False)
        optimizer.zero_grad()
        v[0].backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        step, total = step + 1, total + v[0].item()
        if step % 25 == 0:
            print(f"step {step} progress {progress:.3f} loss {total / 25:.4f}", flush=True)
            total = 0.0
    FOLDER.mkdir(parents=True, exist_ok=True)
    state = {}
    for name, a in adapters.items():
        state[f"transformer.{name}.lora_A.weight"] = a.a.detach().half().contiguous()
        state[f"transformer.{name}.lora_B.weight"] = a.b.detach().half().contiguous()
    save_file(state, str(FOLDER / "winter.safetensors"), metadata={"format": "pt"})
    (FOLDER / "winter.safetensors").chmod(0o644)
    write_json(FOLDER / "manifest.json", MANIFEST)
    print(f"{step} steps, {(FOLDER / 'winter.safetensors').stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
