"""Loops of a tiny FLUX with step caches, for test/golden/step-caches.test.ts.

python step_caches.py; reads ../golden/flux_tiny*, writes ../caches/loops.safetensors. Needs torch and diffusers (0.40).
First-Block Cache is diffusers' own hook, with its own cache contexts under true CFG; TeaCache and DBCache are written
here over the blocks of diffusers' model, from their papers. Every loop ends before its last step, which Retouch always
computes and the hook does not.
"""
import json
import pathlib

import numpy as np
import torch
from diffusers import FirstBlockCacheConfig
from safetensors import safe_open
from safetensors.torch import load_file, save_file

import golden_flux

here = pathlib.Path(__file__).parent
golden = here.parent / "golden"
STEPS = 32
KONTEXT = np.poly1d([-1046.55119, 312.563399, -16.9500694, 0.410995971, 0.0374537863])


def change(now, then):
    return ((now - then).abs().mean() / then.abs().mean()).item()


class Tea:
    def __init__(self, threshold):
        self.threshold, self.before, self.sum = threshold, None, 0.0

    def hit(self, head):
        before, self.before = self.before, head["modulated"]
        if before is None:
            return False
        distance = change(head["modulated"], before)
        self.sum += abs(KONTEXT(distance)) if distance <= 0.24 else float("inf")
        if self.sum < self.threshold:
            return True
        self.sum = 0.0
        return False


class Blocks:
    """First-Block Cache with more than one block; `most` hits in a row."""

    def __init__(self, threshold, most):
        self.threshold, self.most, self.row, self.reference = threshold, most, 0, None

    def hit(self, head):
        near = self.reference is not None and change(head["residual"], self.reference) < self.threshold
        if near and self.row < self.most:
            self.row += 1
            return True
        self.row, self.reference = 0, head["residual"]
        return False


def forward(model, tokens, ids, io, t, guidance, state=None, head_blocks=0, txt="txt", vec="vec"):
    """FluxTransformer2DModel.forward, its blocks one by one; the tokens of picture and references after the last."""
    img, enc = model.x_embedder(tokens), model.context_embedder(io[txt])
    temb = model.time_text_embed(torch.tensor([1000 * t]), torch.tensor([1000 * guidance]), io[vec])
    rope = model.pos_embed(torch.cat([io["txt_ids"][0], ids[0]]))
    start = img
    blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
    step = lambda block, enc, img: block(
        hidden_states=img, encoder_hidden_states=enc, temb=temb, image_rotary_emb=rope)
    modulated = model.transformer_blocks[0].norm1(img, emb=temb)[0]
    for block in blocks[:head_blocks]:
        enc, img = step(block, enc, img)
    hit = state is not None and state.hit({"modulated": modulated, "residual": img - start})
    if hit:
        img = img + state.rest
    else:
        entry = img
        for block in blocks[head_blocks:]:
            enc, img = step(block, enc, img)
        if state is not None:
            state.rest = img - entry
    return model.proj_out(model.norm_out(img, temb)), hit


def main():
    file = golden / "flux_tiny.diffusers.safetensors"
    with safe_open(file, "pt") as opened:
        metadata = opened.metadata()
    params = json.loads(metadata["flux_params"])
    model = golden_flux.build(params)
    model.load_state_dict(load_file(file))
    io = load_file(golden / "flux_tiny_io.safetensors")
    ids = torch.cat([io["img_ids"], io["ref_ids"]], 1)
    count, guidance = io["img"].shape[1], io["ref.guidance"].item()
    sigmas = torch.linspace(1, 0, STEPS + 1, dtype=torch.float64)
    sigmas[:-1] = 3.0 / (3.0 + 1 / sigmas[:-1] - 1)
    sigmas = sigmas.tolist()
    tensors, cases = {}, []

    def loop(name, plan, velocity, scale=1.0):
        x, hits = io["img"], []
        for sigma, following in zip(sigmas, sigmas[1:-1]):
            tokens = torch.cat([x, io["ref_img"]], 1)
            v, hit = velocity(tokens, sigma, "")
            v, hit = v[:, :count], [hit]
            if scale > 1:
                negative, other = velocity(tokens, sigma, "neg_")
                negative = negative[:, :count]
                v, hit = negative + scale * (v - negative), [*hit, other]
            hits.append(hit)
            x = x + (following - sigma) * v
        cases.append({"name": name, **plan, "trueCfg": scale, "hits": [[int(h) for h in hit] for hit in hits]})
        tensors[name] = x[0].contiguous()
        print(name, "".join(str(sum(map(int, hit))) for hit in hits))

    def manual(make, head_blocks):
        states = {}

        def velocity(tokens, sigma, branch):
            state = states.setdefault(branch, make())
            return forward(model, tokens, ids, io, sigma, guidance, state, head_blocks, branch + "txt", branch + "vec")
        return velocity

    def hooked(threshold):
        runs = []
        model.single_transformer_blocks[-1].attn.register_forward_hook(lambda *_: runs.append(1))
        model.enable_cache(FirstBlockCacheConfig(threshold=threshold))

        def velocity(tokens, sigma, branch):
            before = len(runs)
            with model.cache_context(branch or "cond"):
                v = golden_flux.call(model, io, tokens, ids, sigma, guidance, branch + "txt", branch + "vec")
            return v, len(runs) == before
        return velocity

    with torch.no_grad():
        tokens = torch.cat([io["img"], io["ref_img"]], 1)
        whole = golden_flux.call(model, io, tokens, ids, 0.5, guidance)
        assert torch.equal(whole, forward(model, tokens, ids, io, 0.5, guidance)[0])
        for threshold in (0.15, 0.3):
            loop(f"tea {threshold}", {"cache": "tea", "threshold": threshold}, manual(lambda: Tea(threshold), 0))
        heads = len(model.transformer_blocks)
        for threshold, most in ((0.4, 99), (0.7, 2)):
            plan = {"cache": "dual-block", "threshold": threshold, "maxConsecutive": most}
            loop(f"dual-block {threshold}", plan, manual(lambda: Blocks(threshold, most), heads))
        for threshold, scale in ((0.4, 1.0), (0.6, 1.0), (0.55, 3.0)):
            plan = {"cache": "first-block", "threshold": threshold}
            loop(f"first-block {threshold} cfg {scale:g}", plan, hooked(threshold), scale)
            model.disable_cache()
    told = {"sigmas": json.dumps(sigmas), "cases": json.dumps(cases), "torch": torch.__version__}
    save_file(tensors, here.parent / "caches" / "loops.safetensors", metadata=told)


main()
