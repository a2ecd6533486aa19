"""What the network and its adapters are trained on: noise levels, noised latents, and how much each token counts."""
import torch

from labels import THINGS


def levels(count):
    """Noise levels [count] to train on: what is drawn is decided at the high ones."""
    t = torch.sigmoid(.9 + 1.2 * torch.randn(count))
    return torch.where(torch.rand(count) < .1, torch.rand(count), t)


def importance(b, t):
    """Weights [B,T] of the tokens' errors."""
    # a late step's error of v moves the picture little, and asks for the noise to be told from what is left of it
    steps = (t / .3).clamp(max=1)[:, None] ** 2
    count = b["target"].shape[1]
    weight = torch.where(b["changed"] > 0, (count / (2 * b["changed"].sum(1, keepdim=True).clamp_min(1))).clamp(1, 12), 1.0) * steps
    # a background token is one of 88, a thing's one of 18,784: copying these is what has to be learned, and drawing them where
    # all of the picture is new
    was, now = (b[k][..., THINGS].amax(-1) for k in ("before", "after"))
    new = (b["changed"].mean(1, keepdim=True) > .5) * b["changed"]
    return weight * (1 + 2 * torch.maximum(was, now) * (1 - b["changed"]) + 4 * now * new)


def noised(target, t):
    """Latents [B,T,C] and levels [B] -> the latents with noise, and the velocity that leads from them to it."""
    noise = torch.randn_like(target)
    return (1 - t[:, None, None]) * target + t[:, None, None] * noise, noise - target
