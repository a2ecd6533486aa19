"""One edit, step by step as the engine does it: Euler on the shifted flow-matching schedule."""
import math

import numpy as np
import torch

from autoencoder import LATENT, to_bytes, to_tensor
from drawings import TOKEN
from transformer import image_ids, pack, unpack


def sigmas(steps, tokens):
    """The schedule for a target of `tokens` tokens: [steps+1] values from 1 to 0."""
    mu = tokens * (0.65 / 3840) + 0.5 - 256 * (0.65 / 3840)
    u = np.linspace(1, 1 / steps, steps)
    return np.append(math.exp(mu) / (math.exp(mu) + 1 / u - 1), 0.0)


def pad(image):
    """uint8 [H,W,3] -> sides rounded up to whole tokens by repeating the last row and column."""
    h, w, _ = image.shape
    return np.pad(image, ((0, -h % TOKEN), (0, -w % TOKEN), (0, 0)), mode="edge")


def noise(seed, channels, grid):
    """[1,C,2h,2w] standard normal."""
    h, w = grid
    return torch.randn((1, channels, 2 * h, 2 * w), generator=torch.Generator().manual_seed(seed))


@torch.no_grad()
def denoise(editor, ids, reference, start, grid, reference_grid, steps=28, guidance=2.5):
    """ids: (clip [B,L], t5 [B,L]); reference [B,R,C] or None; start [B,T,C] noise -> latent tokens [B,T,C]."""
    text, pooled = editor.encode_text(*ids)
    positions = [image_ids(*grid, False)] + ([image_ids(*reference_grid, True)] if reference is not None else [])
    positions, x, count = torch.cat(positions), start, len(start)
    scale = torch.full((count,), float(guidance))
    schedule = sigmas(steps, grid[0] * grid[1])
    for now, after in zip(schedule, schedule[1:]):
        tokens = x if reference is None else torch.cat((x, reference), 1)
        v = editor.transformer(tokens, text, pooled, torch.full((count,), float(now)), scale, positions, x.shape[1])
        x = x + float(after - now) * v
    return x


@torch.no_grad()
def edit(ae, editor, texts, prompt, image=None, size=None, seed=0, steps=28, guidance=2.5):
    """-> picture uint8 [H,W,3], latent [1,C,h,w]. `size` (width, height) defaults to the image's."""
    width, height = size or (image.shape[1], image.shape[0])
    grid = -(-height // TOKEN), -(-width // TOKEN)
    clip, t5 = texts(prompt)
    reference, reference_grid = None, None
    if image is not None:
        padded = pad(image)
        reference_grid = padded.shape[0] // TOKEN, padded.shape[1] // TOKEN
        reference = pack(ae.encode(to_tensor(padded[None])))
    start = pack(noise(seed, LATENT, grid))
    x = denoise(editor, (torch.tensor([clip]), torch.tensor([t5])), reference, start, grid, reference_grid, steps, guidance)
    latent = unpack(x, *grid)
    return to_bytes(ae.decode(latent))[0, :height, :width], latent
