"""Trains the transformer and both text encoders, on the CPU, until a deadline.

    python train_transformer.py --work DIR --minutes 60 [--helper] [--init]

Resumes from DIR/transformer.pt when it is there; --init starts from the shipped model folder instead.
"""
import argparse
import csv
import math
import random
import time
from functools import partial
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from batches import Latents, batch_size, sample_text
from edits import DO
from files import MODEL, load_editor, new_editor
from flow import importance, levels, noised
from labels import PLACE_LABELS, STRIDE, TEXT_LABELS, TOKEN_LABELS, noun_kinds
from optimizer import Optimizer
from parallel import Clock, save, single_thread, start_helper
from prompts import Texts
from text_encoders import noun_loss, paces
from world import PRACTICE, SIZES

SENTENCES = 64   # more of them in every batch, for the text encoders alone
PRACTICED = .3  # progress until which most batches are of small pictures


class Trainee(nn.Module):
    """The editor and linear readers of its hidden states: what a token shows, where it is,
    whether it changes, what the text asks for.

    The readers only exist in training; they make the network find the named thing early.
    """

    def __init__(self, editor, weights, texts):
        super().__init__()
        self.editor = editor
        self.register_buffer("weights", weights)
        self.register_buffer("kinds", torch.from_numpy(noun_kinds(texts.t5)), persistent=False)
        dim = editor.transformer.x_embedder.out_features
        self.early, self.late = nn.Linear(dim, TOKEN_LABELS + 1), nn.Linear(dim, TOKEN_LABELS + 1)
        self.readers = nn.ModuleList([nn.Linear(128, TEXT_LABELS), nn.Linear(128, TEXT_LABELS)])
        self.place = nn.Linear(dim, PLACE_LABELS)
        self.noun = nn.Linear(128, STRIDE)

    def loss(self, b, progress, t=None):
        """-> loss, weighted squared error of x0 per token [B,T], reading losses"""
        size, count = b["target"].shape[:2]
        t = levels(size) if t is None else t
        noisy, velocity = noised(b["target"], t)
        guidance = torch.where(torch.rand(size) < .8, torch.tensor(2.5), 1 + 4 * torch.rand(size))
        taps = {}
        with torch.autocast("cpu", torch.bfloat16):
            v = self.editor(noisy, b["reference"], t, guidance, b["clip"], b["t5"], [b["grid"]] * 2, taps=taps)
            late = self.late(taps["late"]).float()
            place = self.place(taps["early"][:, :count]).float()
            early = self.early(taps["early"][:, count:]).float() if b["reference"] is not None else None
            text, pooled, labels, ids = taps["text"], taps["pooled"], b["asked"], b["t5"]
            if "sentences" in b:
                more = self.editor.encode_text(*b["sentences"][:2])
                text, pooled = torch.cat((text, more[0])), torch.cat((pooled, more[1]))
                labels, ids = torch.cat((labels, b["sentences"][2])), torch.cat((ids, b["sentences"][1]))
            noun = noun_loss(self.noun, self.kinds, text, ids, labels)
            asked = [reader(x).float() for reader, x in zip(self.readers, (pooled, text.mean(1)))]
        error = ((v.float() - velocity).square() * self.weights).mean(-1)
        weight = importance(b, t)
        loss = (error * weight).sum() / weight.sum()
        changed = b["changed"][..., None]
        # plain sums over labels: they are rare, and with a mean over all of them nothing is learned of any
        late = F.binary_cross_entropy_with_logits(late, torch.cat((b["after"], changed), -1), reduction="none").sum(-1)
        late = (late * weight).sum() / weight.sum()
        if early is not None:
            early = F.binary_cross_entropy_with_logits(early, torch.cat((b["before"], changed), -1), reduction="none").sum(-1)
            early = (early * weight).sum() / weight.sum()
        else:
            early = late.new_zeros(())
        asked = sum(F.binary_cross_entropy_with_logits(a, labels, reduction="sum") for a in asked) / len(labels)
        place = F.binary_cross_entropy_with_logits(place, b["place"].expand_as(place), reduction="none").sum(-1).mean()
        strength = .12 * (1 - progress) + .02
        return loss + strength * (early + late) + .05 * asked + .1 * (place + noun), error.detach(), tuple(v.detach() for v in (early, late, asked, place, noun))


def draw(rng, latents, texts, progress):
    practice = rng.random() < (.85 if progress < PRACTICED else .5 if progress < .8 else .25)
    size = rng.choice(PRACTICE if practice else SIZES)
    # small pictures from text are full of things: most of what there is to learn by heart is in them
    create = rng.random() < (.4 if practice else .3)
    b = latents.batch(rng, texts, size, batch_size(size, create), create)
    more = [sample_text(rng) for _ in range(SENTENCES)]
    b["sentences"] = (*(torch.tensor(ids) for ids in zip(*(texts(s[3]) for s in more))), torch.from_numpy(np.stack([s[4] for s in more])).float())
    return b


def build(work, layers, seed):
    """Runs in the helper process."""
    texts, rng, latents = Texts(MODEL), random.Random(seed), Latents(work)
    model = Trainee(new_editor(texts, layers=layers), torch.load(work / "latents.pt", weights_only=False)["weights"], texts)

    def compute(progress):
        model.loss(draw(rng, latents, texts, progress), progress)[0].backward()
    return list(model.parameters()), compute


@torch.no_grad()
def validate(model, latents, texts):
    """[(edit, error of x0 at noise 1 and 0.6 on kept and on changed tokens)] in units of the latent's deviation, squared."""
    rng, rows = random.Random(5), []
    state = torch.get_rng_state()
    torch.manual_seed(5)
    for do in [*DO, "create"]:
        cells = []
        for level in (.98, .6):
            b = latents.batch(rng, texts, (1024, 1024), 10, do == "create", None if do == "create" else do)
            error = model.loss(b, 1.0, torch.full((10,), level))[1] * level ** 2
            keep, change = 1 - b["changed"], b["changed"]
            cells += [((error * m).sum() / m.sum().clamp_min(1)).item() for m in (keep, change)]
        rows.append((do, cells))
    torch.set_rng_state(state)
    return rows


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=60)
    parser.add_argument("--lr", type=float, default=1.5e-3)
    parser.add_argument("--muon", type=float, default=.02)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--helper", action="store_true")
    parser.add_argument("--init", action="store_true")
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(args.seed)
    texts, latents = Texts(MODEL), Latents(args.work)
    weights = torch.load(args.work / "latents.pt", weights_only=False)["weights"]
    model = Trainee(load_editor()[0].requires_grad_(True).train() if args.init else new_editor(texts), weights, texts)
    layers, checkpoint = model.editor.t5.config.num_layers, args.work / "transformer.pt"
    if not args.init and not checkpoint.exists():
        model.editor.initialise()
        text = torch.load(args.work / "text.pt")
        model.editor.clip.load_state_dict(text["clip"])
        model.editor.t5.load_state_dict(text["t5"])
        model.readers.load_state_dict(text["readers"])
        model.noun.load_state_dict(text["noun"])
    named = list(model.named_parameters())
    params = [p for _, p in named]
    hidden = [n for n, p in named if p.dim() == 2 and "blocks" in n and "editor.transformer" in n and "norm" not in n]
    optimizer = Optimizer([p for n, p in named if n in set(hidden)], [p for n, p in named if n not in set(hidden)],
                          paces(model.editor.t5))
    average, step, samples, start = [p.detach().clone() for p in params], 0, 0, 0.0
    if checkpoint.exists():
        state = torch.load(checkpoint)
        model.load_state_dict(state["model"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, samples, start = state["average"], state["step"], state["samples"], state["progress"]
    torch.manual_seed(args.seed + step)
    rng = random.Random(args.seed + step)
    clock, last, lent, began = Clock(args.minutes, start), time.time(), 0, time.time()
    exchange = start_helper(params, partial(build, args.work, layers), args.seed + step + 1) if args.helper else None
    curve = csv.writer(open(args.work / "curve.csv", "a", buffering=1))
    sums = [0.0] * 8

    def snapshot():
        ema = {k.removeprefix("editor."): a for (k, _), a in zip(named, average) if k.startswith("editor.")}
        for key, value in model.editor.state_dict().items():   # buffers and tied names
            ema.setdefault(key, ema["t5.shared.weight"] if key == "t5.encoder.embed_tokens.weight" else value)
        save(checkpoint, dict(model=model.state_dict(), ema=ema, average=average, optimizer=optimizer.state_dict(),
                              step=step, samples=samples, progress=clock()))
        return ema
    while (progress := clock()) < 1:
        decay = min(1, (step + 1) / 60) * (1 if progress < .6 else max(.02, (1 - progress) / .4))
        tick = time.time()
        b = draw(rng, latents, texts, progress)
        for p in params:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
        loss, error, readings = model.loss(b, progress)
        loss.backward()
        merged = exchange is not None and exchange.merge(params, .6 * (time.time() - tick))
        lent += merged
        norm = nn.utils.clip_grad_norm_(params, 1.0)
        torch.set_num_threads(2)   # the helper waits for this, so its core is free
        optimizer.step(args.muon * decay, args.lr * decay)
        torch.set_num_threads(1)
        if exchange:
            exchange.publish(params, progress)
        step, samples = step + 1, samples + len(b["target"]) * (1 + merged)
        torch._foreach_lerp_(average, [p.detach() for p in params], 1 - min(.995, (step + 1) / (step + 10)))
        keep = 1 - b["changed"]
        values = [(error * m).sum() / m.sum().clamp_min(1) for m in (keep, b["changed"])] + [*readings, norm]
        sums = [a + float(v) for a, v in zip(sums, values)]
        if step % 50 == 0:
            means = [a / 50 for a in sums]
            print(f"step {step} samples {samples} progress {progress:.3f} kept {means[0]:.3f} changed {means[1]:.3f} before {means[2]:.2f} "
                  f"after {means[3]:.2f} asked {means[4]:.2f} place {means[5]:.2f} noun {means[6]:.2f} grad {means[7]:.2f} lent {lent} {time.time() - began:.0f} s", flush=True)
            curve.writerow([step, samples, f"{progress:.4f}", *(f"{v:.4f}" for v in means)])
            sums = [0.0] * 8
        if time.time() - last > 240:
            last = time.time()
            ema = snapshot()
            shadow = Trainee(new_editor(texts, layers=layers), weights, texts)
            shadow.load_state_dict(model.state_dict())
            shadow.editor.load_state_dict(ema)
            for do, cells in validate(shadow, latents, texts):
                print(f"  {do:8s} noise .98 kept {cells[0]:.4f} changed {cells[1]:.3f}   noise .6 kept {cells[2]:.4f} changed {cells[3]:.3f}", flush=True)
    snapshot()
    print(f"done: {step} steps, {samples} samples", flush=True)


if __name__ == "__main__":
    main()
