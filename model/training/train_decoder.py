"""Trains the decoder on the pixels of every cell, from their exact and from disturbed latents, until a deadline.

    python train_decoder.py --work DIR --minutes 60 [--helper]

After encode_lattice.py, at any time. Resumes from DIR/decoder.pt, with the rate at its start again.
"""
import argparse
import math
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch

from autoencoder import decoder_state
from coder import FREE_FINE, LATENT, Coder, Decoder, squares
from optimizer import Optimizer
from parallel import Clock, save, single_thread, start_helper
from train_autoencoder import BARE, COMPONENTS, decibel, floats

BATCH = {"bare": 160, "world": 312, "neon": 16, "textures": 32}
DISTURBED = .08   # the greatest deviation of the noise on a latent: what the transformer leaves
PRECISE = .85     # progress from which products are f32


class Cells:
    """Latents [n,32] and pixels of the cells of bare backgrounds, of the whole world, of neon and of textures."""

    def __init__(self, work):
        world, neon, textures = (np.load(work / f"{name}.npy", mmap_mode="r") for name in ("cells", "neon", "textures"))
        known = torch.load(work / "latents.pt")
        z, glowing, strange = (known[name].float().unflatten(1, (LATENT, 4)).transpose(1, 2).flatten(0, 1)
                               for name in ("tokens", "neon", "texture_cells"))
        self.pixels = {"bare": world[:BARE], "world": world, "neon": neon, "textures": textures}
        self.latents = {"bare": z[:BARE], "world": z, "neon": glowing, "textures": strange}

    def take(self, name, index):
        return self.latents[name][index], squares(floats(self.pixels[name][index.numpy()]))

    def batch(self):
        parts = [self.take(name, torch.randint(len(self.latents[name]), (count,))) for name, count in BATCH.items()]
        return (torch.cat(v) for v in zip(*parts))


@torch.no_grad()
def first(cells, coder):
    """A Decoder that starts as the Coder's layers and the best linear end for them: principal components of squares."""
    decoder = Decoder()
    sample = cells.take("world", torch.arange(0, len(cells.latents["world"]), 60))[1].flatten(0, 1)
    mean = sample.mean(0)
    coordinates = torch.linalg.eigh(((sample - mean).T @ (sample - mean)).double())[1].flip(1)[:, :FREE_FINE // 2].float()
    gram = cross = 0
    for name, stride, weight in (("world", 2, 1), ("bare", 1, 20), ("neon", 1, 1), ("textures", 2, .25)):
        for index in torch.arange(0, len(cells.latents[name]), stride).split(1000):
            z, pixels = cells.take(name, index)
            f = Decoder.coarse(coder, z + .03 * torch.randn_like(z))
            f = torch.cat((f, torch.ones(len(f), 1)), 1)
            gram, cross = gram + weight * (f.T @ f).double(), cross + weight * (f.T @ ((pixels - mean) @ coordinates).flatten(1)).double()
    solution = torch.linalg.solve(gram + 1e-2 * torch.eye(len(gram)), cross).float()
    decoder.start(coder, coordinates, mean, solution[:-1].T.unflatten(0, (-1, FREE_FINE // 2)), solution[-1].view(-1, FREE_FINE // 2))
    return decoder


def loss_of(decoder, cells, progress):
    """-> loss, mean squared error [n] of each cell"""
    z, pixels = cells.batch()
    with torch.autocast("cpu", torch.bfloat16, enabled=progress < PRECISE):
        out = decoder(z + torch.randn_like(z) * torch.rand(len(z), 1) * DISTURBED)
    error = (out.float() - pixels).square().mean(2)
    world = len(z) - BATCH["textures"]
    # the square root weighs squares that are nearly right: lines and small parts
    loss = (error[:world] + 1e-5).sqrt().mean() + 4 * error[:world].mean() + .5 * error[world:].mean()
    return loss, error.detach().mean(1)


def build(work, seed):
    """Runs in the helper process."""
    torch.manual_seed(seed)
    cells, decoder = Cells(work), Decoder()
    return list(decoder.parameters()), lambda progress: loss_of(decoder, cells, progress)[0].backward()


@torch.no_grad()
def report(decoder, cells):
    for name, stride in (("bare", 1), ("world", 97), ("neon", 3), ("textures", 37)):
        for noise in (0, .05):
            error = []
            for index in torch.arange(0, len(cells.latents[name]), stride).split(200):
                z, pixels = cells.take(name, index)
                error.append((decoder(z + noise * torch.randn_like(z)).clamp(-1, 1) - pixels).square().mean((1, 2)))
            error = torch.cat(error)
            print(f"  {name}, noise {noise}: {decibel(error.mean().item()):.2f} dB, median {decibel(error.median().item()):.2f}", flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=1e-3)
    parser.add_argument("--seed", type=int, default=5)
    parser.add_argument("--helper", action="store_true")
    args = parser.parse_args()
    single_thread()
    cells, checkpoint, done, start = Cells(args.work), args.work / "decoder.pt", 0, 0.0
    if checkpoint.exists():
        decoder, state = Decoder(), torch.load(checkpoint)
        decoder.load_state_dict(state["decoder"])
        done, start = state.get("step", 0), state.get("progress", 0.0)
    else:
        coder = Coder(COMPONENTS)
        coder.load_state_dict(torch.load(args.work / "encoder.pt")["coder"])
        decoder = first(cells, coder)
    torch.manual_seed(args.seed + done)
    report(decoder, cells)
    params = list(decoder.parameters())
    hidden = [p for n, p in decoder.named_parameters() if p.dim() == 2 and n.startswith(("up", "fine"))]
    optimizer = Optimizer(hidden, [p for p in params if all(p is not h for h in hidden)], {}, 0.0)
    exchange = start_helper(params, partial(build, args.work), args.seed + done + 1) if args.helper else None
    average, clock, step, last = None, Clock(args.minutes, start), done, time.time()

    def snapshot():
        averaged = Decoder()
        averaged.load_state_dict({n: m for (n, _), m in zip(decoder.named_parameters(), average)})
        save(checkpoint, dict(decoder=averaged.state_dict(), step=step, progress=clock(), tensors=dict(decoder_state(averaged))))
        return averaged
    while (progress := clock()) < 1:
        tick = time.time()
        decay = min(1, (step - done + 1) / 100) * (.5 + .5 * math.cos(math.pi * progress))
        for p in params:
            p.grad = None
        loss, error = loss_of(decoder, cells, progress)
        loss.backward()
        if exchange:
            exchange.merge(params, .6 * (time.time() - tick))
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step(5 * args.lr * decay, args.lr * decay)
        if exchange:
            exchange.publish(params, progress)
        step += 1
        if average is None or progress < .05:
            average = [p.detach().clone() for p in params]
        torch._foreach_lerp_(average, [p.detach() for p in params], .005)
        if step % 200 == 0:
            means, at = [], 0
            for name, count in BATCH.items():
                means.append(f"{name} {decibel(error[at:at + count].mean().item()):.2f}")
                at += count
            print(f"step {step} progress {progress:.3f} loss {loss.item():.4f} {' '.join(means)}", flush=True)
        if time.time() - last > 240:
            last = time.time()
            report(snapshot(), cells)
    report(snapshot(), cells)
    print(f"{step} steps", flush=True)


if __name__ == "__main__":
    main()
