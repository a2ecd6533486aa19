"""Trains the autoencoder on crops of random scenes, on the CPU, until a deadline.

    python train_autoencoder.py --work DIR --minutes 20 [--init ../vae] [--decoder]

Resumes from DIR/autoencoder.pt when it is there. --decoder keeps the encoder as it is in --init, so that
latents cached with it stay valid, and writes DIR/decoder.pt.
"""
import argparse
import copy
import math
import random
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from autoencoder import Autoencoder, to_tensor
from data import CELL, KINDS, labels, random_scene, render
import principal
from parallel import Clock, save, single_thread


def sample(rng, side=256):
    """A picture of side x side pixels and its cell labels: a small scene, or a window of a large one."""
    if rng.random() < 0.3:
        scene, box = random_scene(rng, side, side), None
    else:
        scene = random_scene(rng, *(64 * rng.randint(6, 16) for _ in range(2)))
        thing = rng.choice(scene.things)
        reach = 0.5 * thing.size + 40
        x, y = (c + rng.uniform(-reach, reach) - side / 2 for c in (thing.x, thing.y))
        if rng.random() < 0.3:
            x, y = rng.uniform(0, scene.width), rng.uniform(0, scene.height)
        x = int(min(max(x, 0), scene.width - side))
        y = int(min(max(y, 0), scene.height - side))
        box = (x, y, side, side)
    if rng.random() < 0.4:   # colours between the named ones
        def shift():
            return tuple(rng.randint(-40, 40) for _ in range(3))
        scene = replace(scene, shift=shift(), things=tuple(replace(t, shift=shift()) for t in scene.things))
    return render(scene, box), labels(scene, box)


class Trainee(nn.Module):
    """The autoencoder and a linear reader of object kinds, which makes latents tell what they show."""

    def __init__(self):
        super().__init__()
        self.ae = Autoencoder()
        self.kinds = nn.Conv2d(self.ae.cfg["latent_channels"], len(KINDS) + 1, 1)
        for m in self.ae.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, nonlinearity="linear")
                nn.init.zeros_(m.bias)
            for name, conv in m.named_children():
                if name == "conv2":   # every residual branch starts at zero
                    nn.init.zeros_(conv.weight)
        principal.start(self.ae, principal.start_images(sample, 250, 7))

    def loss(self, images, kinds, progress):
        x = to_tensor(images)
        z = self.ae.encode(x)
        std = z.detach().std((0, 2, 3), keepdim=True)
        noisy = z + 0.05 * min(1, progress * 8) * std * torch.randn_like(z)
        y = self.ae.decode(noisy)
        error = y - x
        ramp = min(1.0, max(0.0, (progress - 0.1) / 0.1))
        loss = (1 - ramp) * error.square().mean() + ramp * error.abs().mean()
        loss = loss + 0.5 * ramp * F.avg_pool2d(error, 16).abs().mean()
        if progress > 0.5:
            edges = (error[..., 1:] - error[..., :-1]).abs().mean() + (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
            loss = loss + 0.4 * min(1.0, (progress - 0.5) / 0.1) * edges
        weight = torch.tensor([0.3] + [1.0] * len(KINDS))
        reading = F.cross_entropy(self.kinds(noisy), torch.from_numpy(kinds).long(), weight)
        loss = loss + 0.04 * reading + 3e-4 * z.square().mean() + 1e-3 * z.mean((0, 2, 3)).square().mean()
        return loss, error, reading


def batch(rng, size):
    images, kinds = zip(*(sample(rng) for _ in range(size)))
    return np.stack(images), np.stack(kinds)


@torch.no_grad()
def psnr(ae, seeds, size):
    total = []
    for seed in seeds:
        x = to_tensor(render(random_scene(random.Random(seed), *size))[None])
        total.append((ae.decode(ae.encode(x)).clamp(-1, 1) - x).square().mean().item())
    return float(np.mean([10 * math.log10(4 / t) for t in total]))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=35)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--decoder", action="store_true")
    parser.add_argument("--init", type=Path, help="a vae folder to start from")
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(int(time.time()))
    rng = random.Random(time.time())
    model = Trainee()
    if args.decoder:
        model.ae.encoder.requires_grad_(False)
        model.kinds.requires_grad_(False)
    params = [p for p in model.parameters() if p.requires_grad]
    names = [k for k, p in model.named_parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(params, lr=args.lr, betas=(0.9, 0.98), weight_decay=1e-4, fused=True)
    average, step, pictures, start = [p.detach().clone() for p in params], 0, 0, 0.0
    checkpoint = args.work / ("decoder.pt" if args.decoder else "autoencoder.pt")
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, pictures, start = state["average"], state["step"], state["pictures"], state["progress"]
    elif args.init:
        from safetensors.torch import load_file
        weights = {k: v.float() for k, v in load_file(args.init / "diffusion_pytorch_model.safetensors").items()}
        model.ae.load_state_dict(principal.split(weights, model.ae.state_dict()))
        average = [p.detach().clone() for p in params]
        start = 0.3   # no new warm-up of the losses
    clock, last = Clock(args.minutes, start), time.time()

    def snapshot():
        weights = {**model.state_dict(), **dict(zip(names, average))}
        save(checkpoint, dict(model=model.state_dict(), ema=weights, average=average, optimizer=optimizer.state_dict(),
                              step=step, pictures=pictures, progress=clock()))
    while (progress := clock()) < 1:
        rate = args.lr * min(1, (step + 1) / 150) * (0.5 + 0.5 * math.cos(math.pi * progress)) + 1e-5
        optimizer.param_groups[0]["lr"] = rate
        optimizer.zero_grad(set_to_none=False)
        loss, error, reading = model.loss(*batch(rng, args.batch), progress)
        loss.backward()
        norm = nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        step, pictures = step + 1, pictures + args.batch
        decay = min(0.995, (step + 1) / (step + 10))
        torch._foreach_lerp_(average, [p.detach() for p in params], 1 - decay)
        if step % 25 == 0:
            quality = 10 * math.log10(4 / error.detach().square().mean().item())
            print(f"step {step} progress {progress:.3f} loss {loss.item():.4f} psnr {quality:.2f} reading {reading.item():.3f} "
                  f"grad {norm.item():.2f} lr {rate:.5f}", flush=True)
        if time.time() - last > 120 or (step in (100, 300, 600)):
            last = time.time()
            snapshot()
            with torch.no_grad():
                shadow = copy.deepcopy(model)
                for p, a in zip([p for p in shadow.parameters() if p.requires_grad], average):
                    p.copy_(a)
            print(f"held out: {psnr(shadow.ae, range(900001, 900005), (512, 512)):.2f} dB at 512x512, "
                  f"{psnr(shadow.ae, range(900001, 900003), (1024, 1024)):.2f} dB at 1024x1024", flush=True)
    snapshot()
    print(f"done: {step} steps, {pictures} crops", flush=True)


if __name__ == "__main__":
    main()
