"""DoRA updates of the golden FLUX by LyCORIS's own layers: the files and the weights that LyCORIS merges them into.

python dora.py FLUX_TINY_DIFFUSERS OUT_FOLDER      (lycoris-lora 4.1.3)
"""
import sys
from pathlib import Path

import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from safetensors.torch import load_file, save_file

DOUBLE, SINGLE = "transformer_blocks.0", "single_transformer_blocks.1"

# The rows of BFL's fused layers, as diffusers' layers.
FUSED = {
    "double_blocks.0.txt_attn.qkv": [f"{DOUBLE}.attn.add_{part}_proj" for part in "qkv"],
    "single_blocks.1.linear1": [*(f"{SINGLE}.attn.to_{part}" for part in "qkv"), f"{SINGLE}.proj_mlp"],
}

# Files: layer -> whether the lengths are those of outputs (rows) or inputs (columns).
FILES = {
    # Every piece of a fused layer has lengths of its own.
    "dora_inputs": {
        **{f"{DOUBLE}.attn.to_{part}": False for part in "qkv"},
        f"{SINGLE}.attn.to_k": False,
        f"{SINGLE}.proj_mlp": False,
        f"{SINGLE}.proj_out": False,
        "norm_out.linear": False,
    },
    # Fused layers are decomposed as a whole.
    "dora_inputs_fused": {layer: False for layer in FUSED},
    # Both kinds in one layer.
    "dora_mixed": {f"{DOUBLE}.attn.to_q": True, f"{DOUBLE}.attn.to_k": False, f"{SINGLE}.proj_mlp": True},
    # Of Hadamard products.
    "doha_inputs": {f"{DOUBLE}.attn.to_v": False, f"{SINGLE}.proj_mlp": False},
}


def layer_of(weights, name):
    names = FUSED.get(name, [name])
    weight = torch.cat([weights[f"{part}.weight"] for part in names])
    layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data = weight.clone()
    return layer, names


def make(weights, layers, kind):
    state, merged = {}, {}
    for name, on_outputs in layers.items():
        layer, names = layer_of(weights, name)
        module = kind(name, layer, lora_dim=3 if kind is LoConModule else 2, alpha=2, weight_decompose=True, wd_on_out=on_outputs)
        for parameter_name, parameter in module.named_parameters():
            if "dora_scale" in parameter_name:
                parameter.data *= 1 + 0.3 * torch.rand_like(parameter)
            else:
                parameter.data = 0.3 * torch.randn_like(parameter)
        prefix = "lycoris_" + name.replace(".", "_")
        for end, value in module.custom_state_dict().items():
            state[f"{prefix}.{end}"] = value.detach().clone().contiguous()
        whole = module.get_merged_weight()[0].detach()
        sizes = [weights[f"{part}.weight"].shape[0] for part in names]
        for part, rows in zip(names, whole.split(sizes)):
            merged[f"{part}.weight"] = rows.clone().contiguous()
    return state, merged


if __name__ == "__main__":
    torch.manual_seed(6)
    base, out = load_file(sys.argv[1]), Path(sys.argv[2])
    for name, layers in FILES.items():
        state, merged = make(base, layers, LohaModule if name.startswith("doha") else LoConModule)
        save_file(state, out / f"{name}.safetensors")
        save_file(merged, out / f"{name}.merged.safetensors")
