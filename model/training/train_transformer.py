"""Trains the transformer and both text encoders on cached latents, on the CPU, until a deadline.

    python train_transformer.py --work DIR --minutes 60 [--helper] [--init ..]

Resumes from DIR/transformer.pt when it is there; --init starts from a shipped model folder instead.
New cache shards are picked up while it runs.
"""
import argparse
import math
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from autoencoder import to_tensor
from data import KINDS, random_scene, render
from files import MODEL, load_autoencoder, load_editor, new_editor
from parallel import Clock, save, single_thread, start_helper
from prompts import Texts, caption, instruction

SHARES = {"recolor": 0.56, "background": 0.13, "remove": 0.2, "replace": 0.05, "add": 0.03, "create": 0.03}
TOKENS = 1100   # per batch, text included
PHASES = [(0.0, (1.0, 0.0, 0.0)), (0.5, (0.5, 0.5, 0.0)), (0.85, (0.25, 0.45, 0.3))]   # progress, share of each set


class Pool:
    """Cached groups, by set and grid, and their pairs by kind of edit."""

    def __init__(self, folder, sets=("small", "medium", "large")):
        self.folder, self.sets, self.seen = folder, sets, set()
        self.pairs = {s: {} for s in sets}   # set -> grid -> edit -> [(group, pair index)]
        self.weights = {s: {} for s in sets}
        self.refresh()

    def refresh(self):
        for name in self.sets:
            for path in sorted((self.folder / name).glob("*.pt")):
                if path in self.seen:
                    continue
                self.seen.add(path)
                for group in torch.load(path, weights_only=False):
                    edits = self.pairs[name].setdefault(group["grid"], {})
                    self.weights[name][group["grid"]] = self.weights[name].get(group["grid"], 0) + 1
                    for i, (_, _, edit) in enumerate(group["pairs"]):
                        edits.setdefault(edit["edit"], []).append((group, i))
                    edits.setdefault("create", []).append((group, -1))

    def batch(self, rng, texts, name, size=None, edit=None):
        """A batch on one grid: everything `loss` needs. Text-to-image has batches of its own."""
        grids = list(self.weights[name])
        grid = rng.choices(grids, [self.weights[name][g] for g in grids])[0]
        create = edit == "create" or (edit is None and rng.random() < SHARES["create"])
        count = grid[0] * grid[1]
        size = size or max(2, round(TOKENS / (count * (1 if create else 2) + 24)))
        kinds = [k for k in SHARES if k != "create"]
        target, reference, changed, before, after, prompts = [], [], [], [], [], []
        for _ in range(size):
            kind = "create" if create else edit or rng.choices(kinds, [SHARES[k] for k in kinds])[0]
            group, i = rng.choice(self.pairs[name][grid][kind])
            if create:
                j = source = rng.randrange(len(group["scenes"]))
                while not group["scenes"][j].things:
                    j = source = rng.randrange(len(group["scenes"]))
                prompts.append(caption(rng, group["scenes"][j]))
                changed.append(torch.ones(count, dtype=torch.bool))
            else:
                source, j, what = group["pairs"][i]
                prompts.append(instruction(rng, what))
                changed.append(group["masks"][i])
            target.append(group["z"][j])
            reference.append(group["z"][source])
            before.append(group["kinds"][source])
            after.append(group["kinds"][j])
        clip, t5 = zip(*(texts(p) for p in prompts))
        return dict(grid=grid, target=torch.stack(target).float(), reference=None if create else torch.stack(reference).float(),
                    changed=torch.stack(changed).float(), before=torch.stack(before).float() / 4,
                    after=torch.stack(after).float() / 4, clip=torch.tensor(clip), t5=torch.tensor(t5))


@torch.no_grad()
def channel_weights():
    """Loss weight of each packed channel [4C]: the square root of the picture's error per unit of latent error.

    A few channels carry most of the colour; with equal weights the faint ones get most of the attention.
    """
    ae, rng, generator = load_autoencoder(), random.Random(1), torch.Generator().manual_seed(0)
    z = ae.encode(to_tensor(np.stack([render(random_scene(rng, 384, 384)) for _ in range(6)])))
    picture, energy = ae.decode(z), []
    for c in range(z.shape[1]):
        moved = z.clone()
        moved[:, c] += 0.3 * torch.randn(z[:, c].shape, generator=generator)
        energy.append((ae.decode(moved) - picture).square().mean())
    weights = torch.stack(energy).sqrt()
    return (weights / weights.mean()).repeat_interleave(4)


class Trainee(nn.Module):
    """The editor and linear readers of its hidden states: which kind a token shows, and whether the edit changes it.

    The readers only exist in training; they make the network find the named object early.
    """

    def __init__(self, editor):
        super().__init__()
        self.editor = editor
        dim = editor.transformer.x_embedder.out_features
        self.weights = channel_weights()
        self.early, self.late = nn.Linear(dim, len(KINDS) + 1), nn.Linear(dim, len(KINDS) + 1)

    def loss(self, b, rng, progress, t=None, changed_weight=5.0):
        """-> loss, weighted squared error of v per token [B,T], reading losses"""
        size, count = b["target"].shape[:2]
        if t is None:
            t = torch.sigmoid(0.5 + 1.2 * torch.randn(size))
            t = torch.where(torch.rand(size) < 0.1, torch.rand(size), t)
        noise = torch.randn_like(b["target"])
        noisy = (1 - t[:, None, None]) * b["target"] + t[:, None, None] * noise
        guidance = torch.where(torch.rand(size) < 0.8, torch.tensor(2.5), 1 + 4 * torch.rand(size))
        h, w = b["grid"]
        # small canvases are also placed further out, so that the positions of large ones are not new
        origin = (rng.randint(0, max(0, 16 - h)), rng.randint(0, max(0, 16 - w))) if rng.random() < 0.5 else (0, 0)
        taps = {}
        v = self.editor(noisy, b["reference"], t, guidance, b["clip"], b["t5"], [b["grid"]] * 2, origin, taps)
        error = ((v - (noise - b["target"])).square() * self.weights).mean(-1)
        weight = 1 + (changed_weight - 1) * b["changed"]
        loss = (error * weight).sum() / weight.sum()
        mask = b["changed"][..., None]
        late = F.binary_cross_entropy_with_logits(self.late(taps["late"][:, :count]), torch.cat((b["after"], mask), -1))
        early = late.new_zeros(())
        if b["reference"] is not None:
            early = F.binary_cross_entropy_with_logits(self.early(taps["early"][:, count:]), torch.cat((b["before"], mask), -1))
        strength = 4.0 * (1 - progress) + 0.5   # kinds are rare: below this they are not learned, nor is which object is meant
        return loss + strength * (early + late), error, (early, late)


def choose(rng, progress, pool):
    shares = [s for p, s in PHASES if progress >= p][-1]
    shares = [share if pool.weights[name] else 0 for name, share in zip(pool.sets, shares)]
    return rng.choices(pool.sets, shares)[0] if sum(shares) else "small"


def build(folder, seed):
    """Runs in the helper process."""
    texts, rng, pool = Texts(MODEL), random.Random(seed), Pool(folder)
    model, count = Trainee(new_editor(texts)), [0]

    def compute(progress):
        count[0] += 1
        if count[0] % 300 == 0:
            pool.refresh()
        model.loss(pool.batch(rng, texts, choose(rng, progress, pool)), rng, progress)[0].backward()
    return list(model.parameters()), compute


@torch.no_grad()
def validate(model, pool, texts):
    """Error of v on unchanged and changed tokens per kind of edit, at noise 0.95, 0.7 and 0.3."""
    rng, lines = random.Random(5), []
    state = torch.get_rng_state()
    torch.manual_seed(5)
    for name in pool.sets:
        if not pool.weights[name]:
            continue
        for edit in ("recolor", "remove", "background"):
            cells = []
            for level in (0.95, 0.7, 0.3):
                b = pool.batch(rng, texts, name, {"small": 24, "medium": 10, "large": 3}[name], edit)
                error = model.loss(b, rng, 1.0, torch.full((len(b["target"]),), level))[1]
                keep, change = 1 - b["changed"], b["changed"]
                cells.append(f"{(error * keep).sum() / keep.sum().clamp_min(1):.3f}/{(error * change).sum() / change.sum().clamp_min(1):.3f}")
            lines.append(f"  {name} {edit}: " + " ".join(cells))
    torch.set_rng_state(state)
    return "\n".join(lines)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--helper", action="store_true")
    parser.add_argument("--init", type=Path, help="a model folder to start from")
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(int(time.time()))
    rng = random.Random(time.time())
    texts = Texts(MODEL)
    model = Trainee(load_editor(args.init)[0].requires_grad_(True).train() if args.init else new_editor(texts))
    if not args.init:
        model.editor.initialise()
    named = list(model.named_parameters())
    params = [p for _, p in named]
    matrices = [p for _, p in named if p.dim() > 1]
    vectors = [p for _, p in named if p.dim() < 2]
    optimizer = torch.optim.AdamW([dict(params=matrices, weight_decay=0.01), dict(params=vectors, weight_decay=0.0)],
                                  lr=args.lr, betas=(0.9, 0.98), fused=True)
    average, step, samples, start = [p.detach().clone() for p in params], 0, 0, 0.0
    checkpoint = args.work / "transformer.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, samples, start = state["average"], state["step"], state["samples"], state["progress"]
    pool, held = Pool(args.work / "cache"), Pool(args.work / "held")
    clock, last, lent, began = Clock(args.minutes, start), time.time(), 0, time.time()
    exchange = start_helper(params, partial(build, args.work / "cache"), 100 + step) if args.helper else None
    sums = [0.0] * 5

    def snapshot():
        weights = {k.removeprefix("editor."): a for (k, _), a in zip(named, average) if k.startswith("editor.")}
        for key, value in model.editor.state_dict().items():   # buffers and tied names
            weights.setdefault(key, weights["t5.shared.weight"] if key == "t5.encoder.embed_tokens.weight" else value)
        save(checkpoint, dict(model=model.state_dict(), ema=weights, average=average, optimizer=optimizer.state_dict(),
                              step=step, samples=samples, progress=clock()))
        return weights
    while (progress := clock()) < 1:
        decay = 1 if progress < 0.35 else 0.5 + 0.5 * math.cos(math.pi * (progress - 0.35) / 0.65)
        rate = args.lr * min(1, (step + 1) / 100) * decay + 1e-5
        for group in optimizer.param_groups:
            group["lr"] = rate
        tick = time.time()
        b = pool.batch(rng, texts, choose(rng, progress, pool))
        optimizer.zero_grad(set_to_none=False)
        loss, error, (early, late) = model.loss(b, rng, progress)
        loss.backward()
        merged = exchange is not None and exchange.merge(params, 0.5 * (time.time() - tick))
        lent += merged
        norm = nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step()
        if exchange:
            exchange.publish(params, progress)
        step, samples = step + 1, samples + len(b["target"]) * (1 + merged)
        torch._foreach_lerp_(average, [p.detach() for p in params], 1 - min(0.997, (step + 1) / (step + 10)))
        error, keep = error.detach(), 1 - b["changed"]
        values = [(error * keep).sum() / keep.sum().clamp_min(1), (error * b["changed"]).sum() / b["changed"].sum().clamp_min(1),
                  early, late, norm]
        sums = [a + float(v.detach()) for a, v in zip(sums, values)]
        if step % 50 == 0:
            means = [a / 50 for a in sums]
            print(f"step {step} samples {samples} progress {progress:.3f} kept {means[0]:.3f} changed {means[1]:.3f} "
                  f"reading {means[2]:.3f} {means[3]:.3f} grad {means[4]:.2f} lent {lent} lr {rate:.5f} {time.time() - began:.0f} s", flush=True)
            sums = [0.0] * 5
        if step % 300 == 0:
            pool.refresh()
        if time.time() - last > 180:
            last = time.time()
            weights = snapshot()
            shadow = Trainee(new_editor(texts))
            shadow.load_state_dict(model.state_dict())
            shadow.editor.load_state_dict(weights)
            print("held out, average weights:\n" + validate(shadow, held, texts), flush=True)
    snapshot()
    print(f"done: {step} steps, {samples} samples", flush=True)


if __name__ == "__main__":
    main()
