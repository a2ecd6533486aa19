"""Saving tensors, and checkpoints in diffusers' names put into Black Forest Labs'."""
import re

import torch
from safetensors.torch import save_file

FLUX = {
    "x_embedder": "img_in", "context_embedder": "txt_in", "proj_out": "final_layer.linear",
    "time_text_embed.timestep_embedder": "time_in", "time_text_embed.guidance_embedder": "guidance_in",
    "time_text_embed.text_embedder": "vector_in",
}
DOUBLE = {
    "norm1.linear": "img_mod.lin", "norm1_context.linear": "txt_mod.lin", "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj", "ff.net.0.proj": "img_mlp.0", "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0", "ff_context.net.2": "txt_mlp.2",
}
JOINED = {  # in BFL's file one tensor
    "img_attn.qkv": ["attn.to_q", "attn.to_k", "attn.to_v"],
    "txt_attn.qkv": ["attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"],
}
NORMS = {
    "attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm", "attn.norm_added_k": "txt_attn.norm.key_norm",
}


def save(path, tensors, metadata=None):
    # The format has no views: some of these are slices of others, or the same.
    save_file({name: value.clone(memory_format=torch.contiguous_format) for name, value in tensors.items()}, path, metadata)


def blocks(weights, prefix):
    return range(1 + max(int(name.split(".")[1]) for name in weights if name.startswith(f"{prefix}.")))


def flux_to_bfl(weights):
    out = {}
    for leaf in ("weight", "bias"):
        for theirs, ours in FLUX.items():
            inner = {".linear_1": ".in_layer", ".linear_2": ".out_layer"} if "time_text" in theirs else {"": ""}
            for a, b in inner.items():
                if f"{theirs}{a}.{leaf}" in weights:
                    out[f"{ours}{b}.{leaf}"] = weights[f"{theirs}{a}.{leaf}"]
        scale, shift = weights[f"norm_out.linear.{leaf}"].chunk(2)
        out[f"final_layer.adaLN_modulation.1.{leaf}"] = torch.cat([shift, scale])
        for i in blocks(weights, "transformer_blocks"):
            theirs, ours = f"transformer_blocks.{i}.", f"double_blocks.{i}."
            out |= {f"{ours}{b}.{leaf}": weights[f"{theirs}{a}.{leaf}"] for a, b in DOUBLE.items()}
            for b, parts in JOINED.items():
                out[f"{ours}{b}.{leaf}"] = torch.cat([weights[f"{theirs}{a}.{leaf}"] for a in parts])
            out |= {f"{ours}{b}.scale": weights[f"{theirs}{a}.weight"] for a, b in NORMS.items()}
        for i in blocks(weights, "single_transformer_blocks"):
            theirs, ours = f"single_transformer_blocks.{i}.", f"single_blocks.{i}."
            parts = ["attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"]
            out[f"{ours}linear1.{leaf}"] = torch.cat([weights[f"{theirs}{a}.{leaf}"] for a in parts])
            out[f"{ours}linear2.{leaf}"] = weights[f"{theirs}proj_out.{leaf}"]
            out[f"{ours}modulation.lin.{leaf}"] = weights[f"{theirs}norm.linear.{leaf}"]
            for a, b in (("q", "query"), ("k", "key")):
                out[f"{ours}norm.{b}_norm.scale"] = weights[f"{theirs}attn.norm_{a}.weight"]
    return out


def autoencoder_to_bfl(weights, levels):
    changes = [
        (r"down_blocks\.(\d+)\.resnets", r"down.\1.block"),
        (r"up_blocks\.(\d+)\.resnets", lambda m: f"up.{levels - 1 - int(m[1])}.block"),
        (r"down_blocks\.(\d+)\.downsamplers\.0", r"down.\1.downsample"),
        (r"up_blocks\.(\d+)\.upsamplers\.0", lambda m: f"up.{levels - 1 - int(m[1])}.upsample"),
        (r"mid_block\.resnets\.0", "mid.block_1"), (r"mid_block\.resnets\.1", "mid.block_2"),
        (r"mid_block\.attentions\.0\.group_norm", "mid.attn_1.norm"),
        (r"mid_block\.attentions\.0\.to_out\.0", "mid.attn_1.proj_out"),
        (r"mid_block\.attentions\.0\.to_([qkv])", r"mid.attn_1.\1"),
        ("conv_shortcut", "nin_shortcut"), ("conv_norm_out", "norm_out"),
    ]
    out = {}
    for name, value in weights.items():
        for pattern, replacement in changes:
            name = re.sub(pattern, replacement, name)
        # BFL's attention has 1×1 convolutions for linears.
        out[name] = value[:, :, None, None] if ".attn_1." in name and value.ndim == 2 else value
    return out
