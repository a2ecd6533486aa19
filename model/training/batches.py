"""Training samples: scenes, edits and their latents, all looked up."""
import numpy as np
import torch

from edits import caption, idle_edit, random_edit
from labels import place_labels, text_labels, token_labels
from lattice import all_keys, neon_keys
from world import SIZES, backdrop, layout, part_of, random_scene

# single edits by how hard they are to learn
OFTEN = {"recolor": 20, "replace": 20, "add": 20, "remove": 5, "move": 14, "resize": 10, "place": 9, "time": 7, "ground": 4, "count": 32}
CREATE, IDLE, TEXTURE, TWO = .15, .05, .04, .3   # shares of the other kinds of samples


TOKENS = 1500   # per batch, text included


def batch_size(size, create):
    """How many samples of a size make a batch; those with a reference have twice the tokens, some of which cost less."""
    h, w = layout(*size).grid
    return max(4, round(TOKENS / (h * w * (1 if create else 1.8) + 24)))


def sample_text(rng, size=None, create=None, do=None):
    """-> size, scene before (None: text-to-image), scene after, instruction, text labels"""
    width, height = size or rng.choice(SIZES)
    lay = layout(width, height)
    while True:
        if create if create is not None else rng.random() < CREATE:
            scene = random_scene(rng, width, height, rng.choice([1, 1, 2, 2, 2, 3]))
            text = caption(rng, scene, lay)
            if len(text.replace(",", " ,").split()) > 21:
                continue
            return (width, height), None, scene, text, text_labels([], scene)
        scene = random_scene(rng, width, height)
        roll = rng.random()
        if do is None and roll < IDLE:
            edit = idle_edit(rng, scene, lay)
        elif do is None and roll < IDLE + TWO:
            edit = random_edit(rng, scene, lay, 2)
        else:
            edit = random_edit(rng, scene, lay, 1, do or rng.choices(list(OFTEN), OFTEN.values())[0])
        if edit and len(edit[2].replace(",", " ,").replace(".", " .").split()) <= 21:
            return (width, height), scene, edit[1], edit[2], text_labels(edit[0])


class Latents:
    """Tables over `all_keys` and then `neon_keys`: latents [K,128] and labels [K,L]; pictures of textures [n,13,13,128]."""

    def __init__(self, work):
        known = torch.load(work / "latents.pt", weights_only=False)
        self.table, self.textures = torch.cat((known["tokens"], known["neon"])).float(), known["textures"].float()
        keys = all_keys() + neon_keys()
        self.index = {k: n for n, k in enumerate(keys)}
        self.labels = torch.from_numpy(np.stack([token_labels(k) for k in keys]))
        self.backs = {}

    def tokens(self, scene, size):
        """Indices [h*w] of the scene's tokens."""
        known = (scene.place, *size)
        rows, columns = layout(*size).grid
        if known not in self.backs:
            keys = backdrop(*known)
            self.backs[known] = np.array([self.index[keys[r, c], None] for r in range(rows) for c in range(columns)])
        out, lay = self.backs[known].copy(), layout(*size)
        keys = backdrop(*known)
        for slot, t in scene.things:
            r, c = lay.place_of(slot)
            for i in (0, 1):
                for j in (0, 1):
                    out[(r + i) * columns + c + j] = self.index[keys[r + i, c + j], part_of(scene, t, i, j)]
        return out

    def batch(self, rng, texts, size, count, create=False, do=None, restyle=None):
        """A batch on one size; text-to-image has batches of its own. `restyle(n, scene)`: what the n-th result must be instead."""
        grid = layout(*size).grid
        before, after, prompts, asked, strange = [], [], [], [], []
        for n in range(count):
            _, a, b, prompt, labels = sample_text(rng, size, create, do)
            before.append(self.tokens(a or b, size))
            b = restyle(n, b) if restyle else b
            strange.append(not create and do is None and not restyle and rng.random() < TEXTURE)
            after.append(before[-1] if strange[-1] else self.tokens(b, size))
            prompts.append(prompt)
            asked.append(labels)
        clip, t5 = zip(*(texts(p) for p in prompts))
        before, after = torch.from_numpy(np.stack(before)), torch.from_numpy(np.stack(after))
        target, reference, strange = self.table[after], self.table[before], torch.tensor(strange)
        for n in strange.nonzero()[:, 0].tolist():
            r, c = rng.randint(0, 13 - grid[0]), rng.randint(0, 13 - grid[1])
            picture = self.textures[rng.randrange(len(self.textures)), r:r + grid[0], c:c + grid[1]].flatten(0, 1)
            target[n] = reference[n] = picture
        known = (~strange)[:, None, None]
        return dict(grid=grid, target=target, reference=None if create else reference, changed=(torch.ones_like(after) if create else before != after).float(),
                    place=torch.from_numpy(place_labels(*size)), before=self.labels[before].float() * known, after=self.labels[after].float() * known,
                    clip=torch.tensor(clip), t5=torch.tensor(t5), asked=torch.from_numpy(np.stack(asked)).float(), prompts=prompts)
