"""Teaches both text encoders to tell what a sentence asks for, before pictures are involved.

    python pretrain_text.py --work DIR --minutes 3
"""
import argparse
import math
import random
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional as F

from batches import sample_text
from files import MODEL, new_editor
from labels import STRIDE, TEXT_LABELS, noun_kinds
from parallel import Clock, Resume, save, single_thread
from prompts import Texts
from text_encoders import noun_loss, paces, step_at_paces


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=3)
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(0)
    rng, texts = random.Random(11), Texts(MODEL)
    editor = new_editor(texts)
    readers = nn.ModuleList([nn.Linear(128, TEXT_LABELS), nn.Linear(128, TEXT_LABELS)])
    noun, kinds, factors = nn.Linear(128, STRIDE), torch.from_numpy(noun_kinds(texts.t5)), paces(editor.t5)
    params = [*editor.clip.parameters(), *editor.t5.parameters(), *readers.parameters(), *noun.parameters()]
    optimizer = torch.optim.AdamW(params, lr=2e-3, betas=(.9, .98), weight_decay=.01, fused=True)
    resume = Resume(args.work / "text", rng, clip=editor.clip, t5=editor.t5, readers=readers, noun=noun, optimizer=optimizer)
    clock, step = Clock(args.minutes, resume.numbers.get("progress", 0.0)), resume.numbers.get("step", 0)
    while (progress := clock()) < 1:
        optimizer.param_groups[0]["lr"] = 2e-3 * min(1, (step + 1) / 100) * (.5 + .5 * math.cos(math.pi * progress)) + 1e-5
        samples = [sample_text(rng) for _ in range(128)]
        clip, t5 = (torch.tensor(ids) for ids in zip(*(texts(s[3]) for s in samples)))
        labels = torch.from_numpy(np.stack([s[4] for s in samples])).float()
        with torch.autocast("cpu", torch.bfloat16):
            text, pooled = editor.encode_text(clip, t5)
            guesses = readers[0](pooled).float(), readers[1](text.mean(1)).float()
            nouns = noun_loss(noun, kinds, text, t5, labels)
        loss = nouns + sum(F.binary_cross_entropy_with_logits(g, labels, reduction="sum") for g in guesses) / len(samples)
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        step_at_paces(optimizer, factors)
        step += 1
        resume.keep(step=step, progress=progress)
        if step % 100 == 0:
            right = [((g > 0) == (labels > 0)).all(1).float().mean().item() for g in guesses]
            print(f"step {step} progress {progress:.3f} loss {loss.item():.3f} of it nouns {nouns.item():.3f} sentences wholly right: CLIP {right[0]:.3f} T5 {right[1]:.3f}", flush=True)
    save(args.work / "text.pt", dict(clip=editor.clip.state_dict(), t5=editor.t5.state_dict(), readers=readers.state_dict(), noun=noun.state_dict()))
    resume.done()


if __name__ == "__main__":
    main()
