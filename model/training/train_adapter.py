"""Trains an adapter of the shipped model, which itself stays as it is.

    python train_adapter.py lora --work DIR --minutes 30         model/adapters/neon
    python train_adapter.py ip-adapter --work DIR --minutes 9    model/adapters/mood
"""
import argparse
import math
import random
from pathlib import Path

import torch
from torch import nn

from batches import CREATE, Latents, batch_size
from files import load_editor
from flow import importance, levels, noised
from lora import Neon
from mood import Mood
from parallel import Clock, Resume, single_thread
from world import PRACTICE, SIZES

SORTS = {"lora": Neon, "ip-adapter": Mood}
RATE = 2e-3


def draw(rng, latents, texts, adapter):
    size = rng.choice(PRACTICE if rng.random() < .5 else SIZES)
    create = rng.random() < CREATE
    count = batch_size(size, create)
    adapter.choose(rng, count)
    return latents.batch(rng, texts, size, count, create, restyle=adapter.restyle)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("sort", choices=SORTS)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(4)
    rng, latents = random.Random(4), Latents(args.work)
    weights = torch.load(args.work / "latents.pt", weights_only=False)["weights"]
    editor, texts = load_editor()
    editor.requires_grad_(False)
    adapter = SORTS[args.sort](editor)
    params = list(adapter.parameters())
    optimizer, total = torch.optim.AdamW(params, lr=RATE, weight_decay=0.0), 0.0
    resume = Resume(args.work / args.sort, rng, adapter=nn.ParameterList(params), optimizer=optimizer)
    clock, step = Clock(args.minutes, resume.numbers.get("progress", 0.0)), resume.numbers.get("step", 0)
    while (progress := clock()) < 1:
        optimizer.param_groups[0]["lr"] = RATE * min(1, (step + 1) / 20) * (.5 + .5 * math.cos(math.pi * progress)) + 1e-5
        b = draw(rng, latents, texts, adapter)
        t = levels(len(b["target"]))
        noisy, velocity = noised(b["target"], t)
        with torch.autocast("cpu", torch.bfloat16):
            adapter.prepare()
            v = editor(noisy, b["reference"], t, torch.full_like(t, 2.5), b["clip"], b["t5"], [b["grid"]] * 2)
        error = ((v.float() - velocity).square() * weights).mean(-1)
        weight = importance(b, t)
        loss = (error * weight).sum() / weight.sum()
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        step, total = step + 1, total + loss.item()
        resume.keep(step=step, progress=progress)
        if step % 25 == 0:
            print(f"step {step} progress {progress:.3f} loss {total / 25:.4f}", flush=True)
            total = 0.0
    resume.done()
    print(f"{step} steps, {adapter.write() / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
