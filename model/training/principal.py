"""A well-conditioned start and parametrisation for the autoencoder's first and last convolution.

Neighbouring pixels are nearly equal, so a patch's 3072 values are the worst possible input for a gradient method.
Training therefore sees a patch as its lowest cosine coefficients, scaled to similar sizes; `merged` multiplies this
fixed basis into the two convolutions. The latent begins as the whitened principal components of the patches:
silu(a) - silu(-a) = a carries them past the last activation, and two constants in every group of the last norm
keep it from changing their scale.
"""
import math
import random

import torch
from torch import nn
from torch.nn import functional as F

from autoencoder import to_tensor


def cosine_basis(patch, highest):
    """[K, 3*patch*patch]: orthonormal 2-D cosines with fy+fx < highest for each colour, low frequencies first."""
    n = torch.arange(patch) + 0.5
    wave = torch.stack([torch.cos(math.pi * f * n / patch) * math.sqrt((1 if f == 0 else 2) / patch) for f in range(highest)])
    pairs = sorted(((i, j) for i in range(highest) for j in range(highest - i)), key=lambda p: (sum(p), p))
    rows = []
    for i, j in pairs:
        plane = torch.outer(wave[i], wave[j]).reshape(-1)
        for c in range(3):
            row = torch.zeros(3, patch * patch)
            row[c] = plane
            rows.append(row.reshape(-1))
    return torch.stack(rows)


class PatchIn(nn.Module):
    """[B,3pp,h,w] -> [B,C,h,w] by way of cosine coefficients divided by `scale`."""

    def __init__(self, basis, scale, cout):
        super().__init__()
        self.register_buffer("weight", basis / scale[:, None])
        self.inner = nn.Conv2d(len(basis), cout, 1)

    def forward(self, x):
        return self.inner(F.conv2d(x, self.weight[:, :, None, None]))


class PatchOut(nn.Module):
    """[B,C,h,w] -> [B,3pp,h,w], the other way round."""

    def __init__(self, basis, scale, cin):
        super().__init__()
        self.register_buffer("weight", (basis * scale[:, None]).T.contiguous())
        self.inner = nn.Conv2d(cin, len(basis), 1)

    def forward(self, x):
        return F.conv2d(self.inner(x), self.weight[:, :, None, None])


def start_images(sample, count, seed):
    rng = random.Random(seed)
    return torch.stack([torch.from_numpy(sample(rng)[0].copy()) for _ in range(count)]).numpy()


@torch.no_grad()
def start(ae, images, highest=18, level=4.0, ridge=1e-4):
    """Replaces both patch convolutions by PatchIn / PatchOut and sets the linear path from uint8 [B,H,W,3] images."""
    enc, dec, latent = ae.encoder, ae.decoder, ae.cfg["latent_channels"]
    patch, channels = ae.cfg["patch_size"], enc.conv_in.out_channels
    basis = cosine_basis(patch, highest)
    x = F.pixel_unshuffle(to_tensor(images), patch).permute(0, 2, 3, 1).flatten(0, 2)
    coefficients = x @ basis.T
    scale = coefficients.std(0).clamp_min(0.02).sqrt()
    enc.conv_in, dec.conv_out = PatchIn(basis, scale, channels), PatchOut(basis, scale, channels)
    low = 60
    values, vectors = torch.linalg.eigh(torch.cov(coefficients[:, :low].T))
    spread, vectors = values.flip(0)[:latent].sqrt(), vectors.flip(1)[:, :latent]
    print("component deviations", spread)
    directions = vectors / spread * scale[:low, None]
    offset = -(coefficients[:, :low].mean(0) / scale[:low]) @ directions
    width = channels // latent
    enc.conv_out.weight[:latent] = 0
    for k in range(latent):
        first = k * width
        for conv in (enc.conv_in.inner, dec.conv_in):
            conv.weight[first:first + 4] = 0
            conv.bias[first + 2:first + 4] = torch.tensor([level, -level])
        for i, sign in enumerate((1.0, -1.0)):
            enc.conv_in.inner.weight[first + i, :low, 0, 0] = sign * directions[:, k]
            enc.conv_in.inner.bias[first + i] = sign * offset[k]
            dec.conv_in.weight[first + i, k, 1, 1] = sign
            enc.conv_out.weight[k, first + i, 1, 1] = 2.0 * sign
    features = []
    hook = dec.conv_out.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    for part in to_tensor(images).split(20):
        ae.decode(ae.encode(part))
    hook.remove()
    f = torch.cat(features).permute(0, 2, 3, 1).flatten(0, 2)
    f = torch.cat((f, torch.ones(len(f), 1)), 1)
    gram = f.T @ f
    solution = torch.linalg.solve(gram + ridge * gram.diagonal().mean() * torch.eye(len(gram)), f.T @ (coefficients / scale))
    dec.conv_out.inner.weight.copy_(solution[:-1].T[:, :, None, None])
    dec.conv_out.inner.bias.copy_(solution[-1])


@torch.no_grad()
def merged(state):
    """A training state dict (names of the autoencoder with PatchIn / PatchOut) -> the autoencoder's own."""
    state = dict(state)
    inside, outside = state.pop("encoder.conv_in.weight"), state.pop("decoder.conv_out.weight")
    weight = state.pop("encoder.conv_in.inner.weight")[:, :, 0, 0] @ inside
    state["encoder.conv_in.weight"] = weight[:, :, None, None].contiguous()
    state["encoder.conv_in.bias"] = state.pop("encoder.conv_in.inner.bias")
    weight = outside @ state.pop("decoder.conv_out.inner.weight")[:, :, 0, 0]
    state["decoder.conv_out.bias"] = outside @ state.pop("decoder.conv_out.inner.bias")
    state["decoder.conv_out.weight"] = weight[:, :, None, None].contiguous()
    return state


@torch.no_grad()
def split(state, template):
    """The reverse of `merged`: the autoencoder's own state -> the training names of `template`."""
    state = dict(state)
    for side, inside in (("encoder.conv_in", True), ("decoder.conv_out", False)):
        weight, bias = state.pop(side + ".weight")[:, :, 0, 0], state.pop(side + ".bias")
        fixed = template[side + ".weight"]
        inverse = torch.linalg.pinv(fixed)
        state[side + ".weight"] = fixed
        state[side + ".inner.weight"] = (weight @ inverse if inside else inverse @ weight)[:, :, None, None]
        state[side + ".inner.bias"] = bias if inside else inverse @ bias
    return state


@torch.no_grad()
def refit(ae, pictures, deviation=0.05, ridge=1e-3):
    """Solves the finished decoder's last convolution again, by least squares near its present weights.

    `pictures`: an iterable of (tensor [B,3,H,W], weight). Noise of `deviation` keeps it robust to the transformer's errors.
    """
    conv, features = ae.decoder.conv_out, []
    now = torch.cat((conv.weight[:, :, 0, 0], conv.bias[:, None]), 1).T.double()
    gram, cross = torch.zeros(len(now), len(now), dtype=torch.float64), torch.zeros_like(now)
    hook = conv.register_forward_pre_hook(lambda _, inputs: features.append(inputs[0]))
    for x, weight in pictures:
        z = ae.encode(x)
        ae.decode(z + deviation * torch.randn_like(z))
        f = features.pop().permute(0, 2, 3, 1).flatten(0, 2)
        f = torch.cat((f, torch.ones(len(f), 1)), 1).double()
        gram += weight * f.T @ f
        cross += weight * f.T @ F.pixel_unshuffle(x, ae.cfg["patch_size"]).permute(0, 2, 3, 1).flatten(0, 2).double()
    hook.remove()
    pull = ridge * gram.diagonal().mean()
    solution = torch.linalg.solve(gram + pull * torch.eye(len(gram)), cross + pull * now).float()
    conv.weight.copy_(solution[:-1].T[:, :, None, None])
    conv.bias.copy_(solution[-1])
