"""Random IP-Adapters of XLabs and InstantX for the small transformer of ../golden, and the velocities they give.

python ip_adapter.py DIR GOLDEN writes xlabs.safetensors, xlabs6.safetensors, instantx.safetensors and adapters_io.safetensors.
The transformer, XLabs' attention and its projection are diffusers'; InstantX's, which diffusers does not have, is
written from its description (InstantX/FLUX.1-dev-IP-Adapter attention_processor.py).
"""
import json
import pathlib
import sys

import torch
from diffusers import FluxTransformer2DModel
from diffusers.models.embeddings import ImageProjection, apply_rotary_emb
from diffusers.models.transformers.transformer_flux import FluxIPAdapterAttnProcessor
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn.functional import scaled_dot_product_attention

WIDTH = 20


def transformer(golden):
    with safe_open(golden / "flux_tiny.safetensors", "pt") as file:
        params = json.loads(file.metadata()["flux_params"])
    model = FluxTransformer2DModel(
        in_channels=params["in_channels"], num_layers=params["depth"], num_single_layers=params["depth_single_blocks"],
        attention_head_dim=sum(params["axes_dim"]), num_attention_heads=params["num_heads"],
        joint_attention_dim=params["context_in_dim"], pooled_projection_dim=params["vec_in_dim"],
        guidance_embeds=True, axes_dims_rope=tuple(params["axes_dim"])).eval()
    model.load_state_dict(load_file(golden / "flux_tiny.diffusers.safetensors"))
    return model


def randomise(module):
    for name, parameter in module.named_parameters():
        # Values near the transformer's own, so that a part left out is seen.
        std = 0.2 if parameter.ndim == 1 else parameter.shape[1] ** -0.5
        nn.init.normal_(parameter, mean=float("norm" in name and name.endswith("weight")), std=std)
    return module


class InstantX(nn.Module):
    def __init__(self, features, tokens, hidden, layers):
        super().__init__()
        inner = 2 * features
        self.proj = nn.Sequential(nn.Linear(features, inner), nn.GELU(), nn.Linear(inner, tokens * WIDTH))
        self.norm = nn.LayerNorm(WIDTH)
        self.keys = nn.ModuleList(nn.Linear(WIDTH, hidden, bias=False) for _ in range(layers))
        self.values = nn.ModuleList(nn.Linear(WIDTH, hidden, bias=False) for _ in range(layers))

    def tokens(self, features):
        return self.norm(self.proj(features).reshape(1, -1, WIDTH))

    def state(self):
        out = {f"image_proj.{key}": value for key, value in self.state_dict().items() if key.startswith(("proj", "norm"))}
        for i, (key, value) in enumerate(zip(self.keys, self.values)):
            out |= {f"ip_adapter.{i}.to_k_ip.weight": key.weight, f"ip_adapter.{i}.to_v_ip.weight": value.weight}
        return out


class InstantXProcessor:
    """A block's attention with InstantX's added to its output, before the projection."""

    def __init__(self, adapter, layer, tokens, scale):
        self.key, self.value, self.tokens, self.scale = adapter.keys[layer], adapter.values[layer], tokens, scale

    def __call__(self, attn, hidden_states, encoder_hidden_states=None, _=None, image_rotary_emb=None):
        heads = lambda x: x.unflatten(-1, (attn.heads, -1))
        q, k, v = (heads(layer(hidden_states)) for layer in (attn.to_q, attn.to_k, attn.to_v))
        q, k = attn.norm_q(q), attn.norm_k(k)
        ip_query, skip = q, 0
        if encoder_hidden_states is not None:
            added = (attn.add_q_proj, attn.add_k_proj, attn.add_v_proj)
            q2, k2, v2 = (heads(layer(encoder_hidden_states)) for layer in added)
            q = torch.cat([attn.norm_added_q(q2), q], 1)
            k, v = torch.cat([attn.norm_added_k(k2), k], 1), torch.cat([v2, v], 1)
            skip = encoder_hidden_states.shape[1]
        q, k = (apply_rotary_emb(x, image_rotary_emb, sequence_dim=1) for x in (q, k))
        attend = lambda *qkv: scaled_dot_product_attention(*(x.transpose(1, 2) for x in qkv)).transpose(1, 2).flatten(2)
        out = attend(q, k, v)
        rms = lambda x: x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + 1e-5)
        guided = attend(ip_query, rms(heads(self.key(self.tokens))), rms(heads(self.value(self.tokens))))
        out = torch.cat([out[:, :skip], out[:, skip:] + self.scale * guided], 1)
        if encoder_hidden_states is None:
            return out
        return attn.to_out[0](out[:, skip:]), attn.to_add_out(out[:, :skip])


def xlabs_state(projection, processors, which):
    out = {f"ip_adapter_proj_model.proj.{leaf}": value for leaf, value in projection.image_embeds.state_dict().items()}
    out |= {f"ip_adapter_proj_model.norm.{leaf}": value for leaf, value in projection.norm.state_dict().items()}
    for i, processor in enumerate(processors):
        for name, layers in (("k", processor.to_k_ip), ("v", processor.to_v_ip)):
            stem = f"double_blocks.{i}.processor.ip_adapter_double_stream_{name}_proj"
            out |= {f"{stem}.{leaf}": value for leaf, value in layers[which].state_dict().items()}
    return out


def run(model, io, references, kwargs=None):
    tokens = torch.cat([io["img"], *(io["ref_img"] for _ in range(references))], 1)
    ids = torch.cat([io["img_ids"], *(io["ref_ids"] for _ in range(references))], 1)
    return model(
        hidden_states=tokens, img_ids=ids[0], encoder_hidden_states=io["txt"], txt_ids=io["txt_ids"][0],
        pooled_projections=io["vec"], timestep=io["ref.t"], guidance=io["ref.guidance"],
        joint_attention_kwargs=kwargs, return_dict=False)[0][:, : io["img"].shape[1]].clone()


@torch.no_grad()
def main(folder, golden):
    torch.manual_seed(11)
    model, io = transformer(golden), load_file(golden / "flux_tiny_io.safetensors")
    hidden, double = model.inner_dim, len(model.transformer_blocks)
    blocks = [*model.transformer_blocks, *model.single_transformer_blocks]
    plain = [block.attn.processor for block in blocks]
    out = {"plain": run(model, io, 1)}

    sizes = (4, 6)
    out |= {"clip": torch.randn(3, 24), "siglip": torch.randn(1, 40)}
    projections = [randomise(ImageProjection(24, WIDTH, tokens)) for tokens in sizes]
    processors = [randomise(FluxIPAdapterAttnProcessor(hidden, WIDTH, num_tokens=sizes)) for _ in range(double)]

    def xlabs(scales, guides):
        for block, processor in zip(blocks, processors):
            processor.scale = scales
            block.attn.set_processor(processor)
        tokens = [projection(features).reshape(1, -1, WIDTH) for projection, features in zip(projections, guides)]
        return {"ip_hidden_states": tokens}

    one, three = out["clip"][:1], out["clip"]
    # A scale of 0 takes an adapter out.
    out["xlabs"] = run(model, io, 1, xlabs([0.8, 0.0], [one, one]))
    out["xlabs.t2i"] = run(model, io, 0, xlabs([0.8, 0.0], [one, one]))
    out["xlabs.two"] = run(model, io, 1, xlabs([0.7, -0.4], [three, one]))
    for block, processor in zip(blocks, plain):
        block.attn.set_processor(processor)

    instantx = randomise(InstantX(40, 8, hidden, len(blocks)))
    for i, block in enumerate(blocks):
        block.attn.set_processor(InstantXProcessor(instantx, i, instantx.tokens(out["siglip"]), 0.6))
    out["instantx"] = run(model, io, 1)
    save_file({key: value.contiguous() for key, value in out.items()}, folder / "adapters_io.safetensors")
    for which, name in enumerate(("xlabs", "xlabs6")):
        save_file(xlabs_state(projections[which], processors, which), folder / f"{name}.safetensors")
    save_file(instantx.state(), folder / "instantx.safetensors")


if __name__ == "__main__":
    main(*map(pathlib.Path, sys.argv[1:]))
