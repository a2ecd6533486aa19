"""Goes on training the decoder alone, with the encoder (and so every latent) as it was exported.

    python refine_decoder.py --work DIR --minutes 15
"""
import argparse
import math
import time
from pathlib import Path

import torch

from autoencoder import FREE, GROUPS, LATENT, Coder, state_dict
from optimizer import Optimizer
from parallel import Clock, save, single_thread
from train_autoencoder import COMPONENTS, decibel, refit


def free_rows(w):
    """[320, ...] -> [304, ...]: without the anchors."""
    return w.unflatten(0, (GROUPS, -1))[:, :FREE // GROUPS].flatten(0, 1)


def free_columns(w):
    return w.reshape(len(w), GROUPS, -1)[..., :FREE // GROUPS].flatten(1)


@torch.no_grad()
def recover(weights, basis, mean):
    """The Coder of an exported state dict."""
    coder = Coder(COMPONENTS)
    to_cells = lambda v: v.reshape(*v.shape[:-1], 64 * 64, 3).transpose(-1, -2).flatten(-2)
    basis, mean = to_cells(basis), to_cells(mean)
    get = lambda name: (weights[name + ".weight"].flatten(1), weights[name + ".bias"])
    w, b = get("encoder.conv_in")
    coder.enter.weight.copy_(free_rows(w) @ basis.T)
    coder.enter.bias.copy_(free_rows(b) + coder.enter.weight @ (basis @ mean))
    names = [f"encoder.{n}" for n in ("down_blocks.0.resnets.0", "mid_block.resnets.0", "mid_block.resnets.1")]
    names += [f"decoder.{n}" for n in ("mid_block.resnets.0", "mid_block.resnets.1", "up_blocks.0.resnets.0", "up_blocks.0.resnets.1")]
    for name, block in zip(names, [*coder.down, *coder.up]):
        for part in ("conv1", "conv2"):
            w, b = get(f"{name}.{part}")
            getattr(block, part).weight.copy_(free_columns(free_rows(w)))
            getattr(block, part).bias.copy_(free_rows(b))
    w, b = get("encoder.conv_out")
    coder.code.weight.copy_(free_columns(w[:LATENT]))
    coder.code.bias.copy_(b[:LATENT])
    coder.scale.eps = 0.0
    coder.scale.running_mean.zero_()
    coder.scale.running_var.fill_(1)
    w, b = get("decoder.conv_in")
    coder.open.weight.copy_(free_rows(w))
    coder.open.bias.copy_(free_rows(b))
    w, b = get("decoder.conv_out")
    coder.leave.weight.copy_(basis @ free_columns(w))
    coder.leave.bias.copy_(basis @ (b - mean))
    return coder.eval()


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=15)
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(2)
    known = torch.load(args.work / "basis.pt")
    a, b, pixels, bare = known["world"], known["other"], known["basis"].shape[1], 88 * 4
    weights = torch.load(args.work / "autoencoder.pt")
    coder = recover(weights, known["basis"], known["mean"])

    @torch.no_grad()
    def report():
        for name, rows in (("bare", a[:bare]), ("world", a[::7]), ("textures", b[::4])):
            z = coder.encode(rows)
            print(f"{name}: {decibel(((coder.decode(z) - rows).square().sum(1) / pixels).mean().item()):.2f} dB, with noise of .05 "
                  f"{decibel(((coder.decode(z + .05 * torch.randn_like(z)) - rows).square().sum(1) / pixels).mean().item()):.2f} dB", flush=True)
    report()
    with torch.no_grad():
        za, zb = (torch.cat([coder.encode(p) for p in v.split(4000)]) for v in (a, b))
    matrices = [p for n, p in coder.up.named_parameters() if p.dim() == 2]
    others = [p for n, p in coder.up.named_parameters() if p.dim() < 2] + [*coder.open.parameters(), *coder.leave.parameters()]
    optimizer, clock, step = Optimizer(matrices, others, 0.0), Clock(args.minutes), 0
    params, average = matrices + others, None
    while (progress := clock()) < 1:
        decay = min(1, (step + 1) / 200) * (.5 + .5 * math.cos(math.pi * progress))
        i, j, k = torch.randint(bare, (96,)), torch.randint(len(a), (1312,)), torch.randint(len(b), (128,))
        x, z = torch.cat((a[i], a[j], b[k])), torch.cat((za[i], za[j], zb[k]))
        noisy = z + torch.randn_like(z) * torch.rand(len(z), 1) * .08
        with torch.autocast("cpu", torch.bfloat16, enabled=progress < .8):
            error = (coder.decode(noisy).float() - x).square().sum(1) / pixels
        loss = (error[:1408] + 1e-5).sqrt().mean() + 4 * error[:1408].mean() + .5 * error[1408:].mean()
        for p in params:
            p.grad = None
        loss.backward()
        torch.nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step(.01 * decay, 2e-3 * decay)
        step += 1
        if average is None or progress < .05:
            average = [p.detach().clone() for p in params]
        torch._foreach_lerp_(average, [p.detach() for p in params], .005)
        if step % 400 == 0:
            e = error.detach()
            print(f"step {step} progress {progress:.3f} bare {decibel(e[:96].mean()):.2f} world {decibel(e[96:1408].mean()):.2f} "
                  f"textures {decibel(e[1408:].mean()):.2f}", flush=True)
    with torch.no_grad():
        for p, m in zip(params, average):
            p.copy_(m)
    report()
    refit(coder, a, b, bare)
    report()
    new = state_dict(coder, known["basis"], known["mean"])
    save(args.work / "autoencoder-refined.pt", {k: new[k] if k.startswith("decoder.") else v for k, v in weights.items()})
    print(f"{step} steps", flush=True)


if __name__ == "__main__":
    main()
