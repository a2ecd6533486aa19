"""Teaches the text encoders people's speech, through what they gave for plain sentences; the transformer stays as it is.

    python train_text.py --work DIR --teacher FOLDER --minutes 60

FOLDER is a model folder whose encoders know the plain sentences of `edits.py`: the exported model before this step. Resumes from
DIR/speech.pt. Two layers are put before the teacher's, which begin as the identity, so the student begins as the teacher, or with
`--start` as the encoders of another model folder that has learned some of it already.
"""
import argparse
import csv
import random
import time
from pathlib import Path

import torch
from scipy.optimize import linear_sum_assignment
from torch import nn
from torch.nn import functional as F

from edits import apply, random_edit
from files import MODEL, PARTS, load_editor, new_editor, read_weights
from optimizer import Optimizer
from parallel import Clock, save, single_thread
from prompts import Texts
from speech import NOTHING, described_scene, instruction, nonsense, plain
from text_encoders import paces
from world import SIZES, layout, random_scene

LAYERS = 4
SHARES = {"people": 60, "nonsense": 22, "phrases": 8, "captions": 10}
# of people's sentences, by how hard they are to read: two at once, a number, a place
KINDS = {"two steps": 28, "add": 15, "count": 11, "move": 10, "replace": 9, "resize": 8, "recolor": 7, "remove": 6, "place": 3, "ground": 2, "time": 1}


def sample(rng, texts, held=False, sort=None):
    """-> people's sentence, the plain one that asks for the same, whether it asks for anything of the world"""
    while True:   # what lost its end cannot be understood
        made = any_sentence(rng, held, sort)
        if texts.fits(made[0]):
            return made


def any_sentence(rng, held, sort):
    sort = sort or rng.choices(list(SHARES), SHARES.values())[0]
    if sort == "nonsense":
        return nonsense(rng, held), NOTHING, 0.0
    size = rng.choice(SIZES)
    lay, kind = layout(*size), rng.choices(list(KINDS), KINDS.values())[0]
    while True:
        if sort == "captions":
            scene = random_scene(rng, *size, rng.choice([1, 1, 2, 2, 2, 3]))
            return *described_scene(rng, scene, lay, held), 1.0
        scene = random_scene(rng, *size)
        if sort == "people":
            made = instruction(rng, scene, lay, held, kind)
            if made:
                return made[2], made[3], 1.0
        elif made := random_edit(rng, scene, lay, 2 if rng.random() < .25 else 1):
            sentences, now = [], scene
            for op in made[0]:
                sentences.append(plain(op, now))
                now = apply(now, op, lay)
            return made[2], " and then ".join(sentences), 1.0


class Student(nn.Module):
    """The encoders, and a reader of CLIP's summary that tells whether a sentence asks for anything of the world."""

    def __init__(self, editor):
        super().__init__()
        self.clip, self.t5 = editor.clip, editor.t5
        self.recognises = nn.Linear(self.clip.config.hidden_size, 1)

    def forward(self, clip_ids, t5_ids):
        """-> text [B,L,J], pooled [B,P], logits [B]"""
        # what comes after the end is not seen from there
        ends = (clip_ids == self.clip.config.eos_token_id).int().argmax(1)
        order, pooled = ends.argsort(), []
        for some in order.chunk(3):
            pooled.append(self.clip(input_ids=clip_ids[some, :int(ends[some].max()) + 1]).pooler_output)
        pooled = torch.cat(pooled)[order.argsort()]
        return self.t5(input_ids=t5_ids).last_hidden_state, pooled, self.recognises(pooled)[:, 0]


@torch.no_grad()
def begin_as(student, texts, teacher, known):
    """Copies the teacher: its tokens' rows by their strings, its layers after new ones that add nothing yet."""
    def rows(new, old, tokenizer, before):
        new.normal_(std=old.std().item())
        for token, i in tokenizer.get_vocab().items():
            j = before.token_to_id(token)
            if j is not None:
                new[i] = old[j]
    clips, t5s = (dict(m.clip.named_parameters()) for m in (student, teacher)), (dict(m.t5.named_parameters()) for m in (student, teacher))
    for (new, old), tokenizers in ((clips, (texts.clip, known.clip)), (t5s, (texts.t5, known.t5))):
        depth = 1 + max(int(n.split(".")[n.split(".").index("layers" if "layers" in n else "block") + 1]) for n in old if "layers." in n or "block." in n)
        for name, p in new.items():
            parts = name.split(".")
            at = next((parts.index(x) + 1 for x in ("layers", "block") if x in parts), None)
            if at is None or "relative_attention_bias" in name:
                if "token_embedding" in name or "shared" in name:
                    rows(p, old[name], *tokenizers)
                else:   # positions that the teacher does not know begin as its last
                    p[:len(old[name])] = old[name]
                    p[len(old[name]):] = old[name][-1]
            elif (layer := int(parts[at]) - (LAYERS - depth)) >= 0:
                p.copy_(old[".".join([*parts[:at], str(layer), *parts[at + 1:]])])
            elif any(end in name for end in ("out_proj", "fc2", "SelfAttention.o.", ".wo.")):
                p.zero_()


class Targets:
    """What the teacher's encoders give for plain sentences, and how far the transformer sees a student's from it."""

    def __init__(self, folder):
        self.editor, self.texts = load_editor(folder)
        self.memory = {}   # of the sentences of one step, which come again
        self.embed, self.sum = self.editor.transformer.context_embedder, self.editor.transformer.time_text_embed.text_embedder
        some = [sample(random.Random(n), self.texts, sort="people")[1] for n in range(256)]
        context, pooled, _ = self(some)
        self.scale = self.embed(context).var((0, 1)).sum(), self.sum(pooled).var(0).sum()

    @torch.no_grad()
    def __call__(self, sentences):
        """-> context [B,L,J], pooled [B,P], number of tokens without padding [B]"""
        unknown = [s for s in dict.fromkeys(sentences) if s not in self.memory]
        fresh = {}
        if unknown:
            clip, t5 = (torch.tensor(ids) for ids in zip(*(self.texts(s) for s in unknown)))
            fresh = {s: tuple(part.clone() for part in parts) for s, *parts in zip(unknown, *self.editor.encode_text(clip, t5), (t5 != 0).sum(1))}
            self.texts.known.clear()
            self.memory.update({s: found for s, found in fresh.items() if len(s.split()) < 10})
        return tuple(torch.stack(parts) for parts in zip(*(fresh.get(s) or self.memory[s] for s in sentences)))

    def losses(self, text, pooled, target, wanted, counts):
        """The transformer does not see the order of the text's tokens: each of the target's goes to a position of its own, and
        the positions that are left have to look like padding. -> losses of words, of padding, of the summary"""
        seen, goal = self.embed(text), self.embed(target)
        distances = torch.cdist(seen.detach().float(), goal).square().numpy()
        order = torch.zeros(goal.shape[:2], dtype=torch.long)
        for n, count in enumerate(counts.tolist()):
            as_padding = distances[n, :, count:count + 1].sum(1, keepdims=True)   # 0 where the sentence fills the window
            places, words = linear_sum_assignment(distances[n, :, :count] - as_padding)
            left = sorted(set(range(len(distances[n]))) - set(places.tolist()))
            order[n, places] = torch.from_numpy(words)
            order[n, left] = torch.arange(count, count + len(left))
        error = (seen - goal.gather(1, order[..., None].expand_as(goal))).square().sum(-1) / self.scale[0]
        word = order < counts[:, None]
        return (error * word).sum() / word.sum(), (error * ~word).sum() / (~word).sum(), (self.sum(pooled) - self.sum(wanted)).square().sum(-1).mean() / self.scale[1]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--teacher", type=Path, required=True)
    parser.add_argument("--start", type=Path, help="a model folder whose encoders are trained further")
    parser.add_argument("--minutes", type=float, default=60, help="processor time")
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--muon", type=float, default=.01)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seed", type=int, default=18)
    args = parser.parse_args()
    single_thread()
    torch.manual_seed(args.seed)
    rng, texts, targets = random.Random(args.seed), Texts(MODEL), Targets(args.teacher)
    student = Student(new_editor(texts, layers=LAYERS))
    begin_as(student, texts, *(load_editor(args.start) if args.start else (targets.editor, targets.texts)))
    if args.start:
        head = {name.rpartition(".")[2]: tensor for name, tensor in read_weights(args.start / "/".join(PARTS["clip"])).items() if "instruction_head" in name}
        student.recognises.load_state_dict(head)
    named = list(student.named_parameters())
    params = [p for _, p in named]
    factors = paces(student.t5)
    hidden = {n for n, p in named if p.dim() == 2 and ("layers" in n or "block" in n) and p not in factors}
    optimizer = Optimizer([p for n, p in named if n in hidden], [p for n, p in named if n not in hidden], factors)
    average, step, start = [p.detach().clone() for p in params], 0, 0.0
    checkpoint = args.work / "speech.pt"
    if checkpoint.exists():
        state = torch.load(checkpoint, weights_only=False)
        student.load_state_dict(state["student"])
        optimizer.load_state_dict(state["optimizer"])
        average, step, start = state["average"], state["step"], state["progress"]
        rng.setstate(state["rng"])
    clock, began, last, sums = Clock(args.minutes, start), time.time(), time.time(), [0.0] * 6
    curve = csv.writer(open(args.work / "speech.csv", "a", buffering=1))

    def snapshot():
        means = dict(student.state_dict(), **{n: a for (n, _), a in zip(named, average)})
        means["t5.encoder.embed_tokens.weight"] = means["t5.shared.weight"]
        save(checkpoint, dict(student=student.state_dict(), ema=means, average=average, optimizer=optimizer.state_dict(), step=step,
                              progress=clock(), rng=rng.getstate(), seed=args.seed))
    while (progress := clock()) < 1:
        rate = min(1, (step + 1) / 100) * (1 if progress < .4 else max(.01, (1 - progress) / .6))
        sentences, plains, known = zip(*(sample(rng, texts) for _ in range(args.batch)))
        clip, t5 = (torch.tensor(ids) for ids in zip(*(texts(s) for s in sentences)))
        texts.known.clear()
        known = torch.tensor(known)
        target, wanted, counts = targets(plains)
        with torch.autocast("cpu", torch.bfloat16):
            text, pooled, logits = student(clip, t5)
        words, padding, summary = targets.losses(text.float(), pooled.float(), target, wanted, counts)
        told = F.binary_cross_entropy_with_logits(logits.float(), known)
        loss = words + .5 * padding + .5 * summary + .2 * told
        for p in params:
            p.grad = torch.zeros_like(p) if p.grad is None else p.grad.zero_()
        loss.backward()
        nn.utils.clip_grad_norm_(params, 1.0)
        optimizer.step(args.muon * rate, args.lr * rate)
        step += 1
        torch._foreach_lerp_(average, [p.detach() for p in params], 1 - min(.998, (step + 1) / (step + 10)))
        right = ((logits > 0) == (known > .5)).float().mean()
        sums = [a + float(b.detach()) for a, b in zip(sums, (words, padding, summary, told, right, torch.ones(())))]
        if step % 100 == 0:
            means = [a / sums[-1] for a in sums]   # fewer than 100 after a restart
            print(f"step {step} progress {progress:.3f} words {means[0]:.4f} padding {means[1]:.4f} summary {means[2]:.4f} told {means[3]:.4f} "
                  f"right {means[4]:.4f} {time.time() - began:.0f} s", flush=True)
            curve.writerow([step, f"{progress:.4f}", *(f"{m:.4f}" for m in means[:-1])])
            sums = [0.0] * 6
        if time.time() - last > 60:
            last = time.time()
            snapshot()
    snapshot()
    print(f"done: {step} steps of {args.batch} sentences", flush=True)


if __name__ == "__main__":
    main()
