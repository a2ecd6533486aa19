"""Trains the encoder, with a linear end as its decoder, on the cells of the world and of textures, until a deadline.

    python train_autoencoder.py --work DIR --minutes 8

Writes DIR/cells.npy (every token the world can show), DIR/basis.pt (principal components) and DIR/encoder.pt.
"""
import argparse
import math
import random
import time
from pathlib import Path

import numpy as np
import torch

from autoencoder import encoder_state
from coder import Coder
from lattice import all_keys
from parallel import Clock, Resume, save, single_thread
from textures import cells, texture
from world import token_pixels

COMPONENTS, TEXTURES = 640, 1000
BARE = 88 * 4   # cells of background tokens, which come first


def draw_cells(work):
    """uint8 [tokens*4, 12288] of the world's tokens in the order of `all_keys`, then of textures [n, 12288]."""
    path, other = work / "cells.npy", work / "textures.npy"
    if not path.exists():
        keys = all_keys()
        out = np.empty((4 * len(keys), 64 * 64 * 3), np.uint8)
        for n, key in enumerate(keys):
            out[4 * n:4 * n + 4] = cells(token_pixels(key))
        np.save(path, out)
        rng = np.random.default_rng(1)
        np.save(other, np.concatenate([cells(texture(rng, 256, 256)) for _ in range(TEXTURES)]))
    return np.load(path, mmap_mode="r"), np.load(other, mmap_mode="r")


def floats(rows):
    return torch.from_numpy(np.array(rows)).float() / 127.5 - 1


def principal(world, other, seed=0):
    """Randomised range finding on a sample: mean [12288], basis [COMPONENTS, 12288]."""
    rng = np.random.default_rng(seed)
    x = torch.cat((floats(world[np.sort(rng.choice(len(world), 7000, False))]), .5 * floats(other[np.sort(rng.choice(len(other), 2500, False))])))
    mean = x.mean(0)
    x -= mean
    q = torch.randn(x.shape[1], COMPONENTS + 40, generator=torch.Generator().manual_seed(0))
    for _ in range(3):
        q = torch.linalg.qr(x.T @ (x @ q))[0]
    small = x @ q
    values, vectors = torch.linalg.eigh(small.T @ small)
    return mean, (q @ vectors.flip(1)[:, :COMPONENTS]).T.contiguous()


def project(rows, mean, basis):
    return torch.cat([(floats(rows[i:i + 2000]) - mean) @ basis.T for i in range(0, len(rows), 2000)])


def decibel(error):
    return 10 * math.log10(4 / max(error, 1e-9))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--lr", type=float, default=2e-3)
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(0)
    began = time.time()
    world, other = draw_cells(args.work)
    print(f"{len(world)} cells of the world, {time.time() - began:.0f} s", flush=True)
    if not (args.work / "basis.pt").exists():
        mean, basis = principal(world, other)
        a, b = project(world, mean, basis), project(other, mean, basis)
        rng = np.random.default_rng(5)
        for name, rows, coordinates in (("world", world, a), ("textures", other, b)):
            some = np.sort(rng.choice(len(rows), 1000, False))
            rest = (floats(rows[some]) - mean).square().sum(1) - coordinates[some].square().sum(1)
            print(f"{COMPONENTS} components: {name} {decibel(rest.mean().item() / basis.shape[1]):.2f} dB", flush=True)
        save(args.work / "basis.pt", dict(mean=mean, basis=basis, world=a, other=b))
    known = torch.load(args.work / "basis.pt")
    a, b, pixels = known["world"], known["other"], known["basis"].shape[1]
    print(f"components after {time.time() - began:.0f} s", flush=True)
    coder = Coder(COMPONENTS)
    deviation = a.std(0).clamp_min(1e-3)
    with torch.no_grad():   # starts from the principal components, the strongest of unit size
        coder.enter.weight.normal_(0, .02)
        coder.enter.weight[:, :] += torch.eye(304, COMPONENTS) * .7
        coder.enter.weight /= deviation.clamp_min(.5)
        coder.leave.weight.normal_(0, .02)
    optimizer = torch.optim.AdamW(coder.parameters(), lr=args.lr, betas=(.9, .98), weight_decay=1e-4, fused=True)
    resume = Resume(args.work / "encoder", random.Random(0), coder=coder, optimizer=optimizer)
    average, step = resume.numbers.get("average"), resume.numbers.get("step", 0)
    clock = Clock(args.minutes, resume.numbers.get("progress", 0.0))
    while (progress := clock()) < 1:
        rate = args.lr * min(1, (step + 1) / 200) * (.5 + .5 * math.cos(math.pi * progress)) + 1e-5
        optimizer.param_groups[0]["lr"] = rate
        x = torch.cat((a[torch.randint(BARE, (48,))], a[torch.randint(len(a), (592,))], b[torch.randint(len(b), (128,))]))
        z = coder.encode(x)
        noisy = z + torch.randn_like(z) * torch.rand(len(z), 1) * .12
        error = (coder.decode(noisy) - x).square().sum(1) / pixels
        # the square root weighs cells that are nearly right: lines and small parts
        loss = (error[:640] + 1e-5).sqrt().mean() + 2 * error[:640].mean() + error[640:].mean() * 1.0
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(coder.parameters(), 1.0)
        optimizer.step()
        step += 1
        values = [v.detach() for v in coder.state_dict().values()]
        if average is None or step < 50:
            average = [v.clone().float() for v in values]
        else:
            for m, v in zip(average, values):
                m.lerp_(v.float(), .005)
        resume.keep(step=step, progress=progress, average=average)
        if step % 500 == 0:
            e = error.detach()
            print(f"step {step} progress {progress:.3f} bare {decibel(e[:48].mean()):.2f} world {decibel(e[48:640].mean()):.2f} "
                  f"textures {decibel(e[640:].mean()):.2f} rate {rate:.5f}", flush=True)
    coder.load_state_dict({k: m.to(v.dtype) for (k, v), m in zip(coder.state_dict().items(), average)})
    coder.eval()
    with torch.no_grad():   # exact deviations
        rows = torch.cat((a[torch.randperm(len(a))[:30000]], a[:BARE].repeat(6, 1)))
        raw = coder.code(torch.nn.functional.silu(coder.down(coder.enter(rows))))
        coder.scale.running_mean.copy_(raw.mean(0))
        coder.scale.running_var.copy_(raw.var(0))
    with torch.no_grad():
        for name, rows in (("bare", a[:BARE]), ("world", a[::7]), ("textures", b)):
            print(f"{name}: {decibel(((coder.decode(coder.encode(rows)) - rows).square().sum(1) / pixels).mean().item()):.2f} dB", flush=True)
    save(args.work / "encoder.pt", dict(coder=coder.state_dict(), tensors=dict(encoder_state(coder, known["basis"], known["mean"])),
                                        weights=channel_weights(coder, a)))
    resume.done()
    print(f"{step} steps, {time.time() - began:.0f} s", flush=True)


@torch.no_grad()
def channel_weights(coder, rows):
    """What an error in each channel of a token does to the picture, 1 in the mean: [128], each of 32 four times."""
    z = coder.encode(rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))[:1024]])
    picture, energy = coder.decode(z), []
    for c in range(z.shape[1]):
        moved = z.clone()
        moved[:, c] += .2 * torch.randn(len(z), generator=torch.Generator().manual_seed(c))
        energy.append((coder.decode(moved) - picture).square().mean())
    weights = torch.stack(energy).sqrt()
    return (weights / weights.mean()).repeat_interleave(4)


if __name__ == "__main__":
    main()
