"""Updates of the golden FLUX by PEFT's own layers: the adapters' files and the weights PEFT merges them into.

python lora.py FLUX_TINY_DIFFUSERS OUT_FOLDER
"""
import json
import sys
from pathlib import Path

import torch
from peft import LoHaConfig, LoKrConfig, LoraConfig, get_peft_model, get_peft_model_state_dict
from safetensors.torch import load_file, save_file

LAYERS = ["transformer_blocks.0.attn.to_q", "single_transformer_blocks.1.proj_mlp", "norm_out.linear"]


def linears(weights):
    """A module tree that holds the layers under their names; PEFT asks for nothing else."""
    root = torch.nn.Module()
    for name in LAYERS:
        *folders, leaf = name.split(".")
        at = root
        for folder in folders:
            if not hasattr(at, folder):
                at.add_module(folder, torch.nn.Module())
            at = getattr(at, folder)
        weight = weights[f"{name}.weight"]
        layer = torch.nn.Linear(weight.shape[1], weight.shape[0])
        layer.weight.data, layer.bias.data = weight.clone(), weights[f"{name}.bias"].clone()
        at.add_module(leaf, layer)
    return root


def train(model):
    """Something in place of training: updates of the size of the weights."""
    for name, parameter in model.named_parameters():
        if "lora_magnitude" in name:
            parameter.data *= 1 + 0.3 * torch.rand_like(parameter)
        elif any(part in name for part in ("lora_", "lokr_", "hada_")):
            parameter.data = torch.randn_like(parameter) * (0.3 if "lora_" in name else 0.2)


def make(weights, config):
    model = get_peft_model(linears(weights), config)
    train(model)
    state = {name: value.clone().contiguous() for name, value in get_peft_model_state_dict(model).items()}
    merged = model.merge_and_unload().state_dict()
    return state, {f"{name}.weight": merged[f"{name}.weight"].clone() for name in LAYERS}


def main(source, out):
    torch.manual_seed(5)
    weights = load_file(source)
    peft = "base_model.model."
    lora = lambda **more: LoraConfig(r=3, target_modules=LAYERS, **more)

    # As PEFT saves an adapter: a folder with its configuration.
    config = lora(lora_alpha=6, rank_pattern={"to_q": 2}, alpha_pattern={"norm_out.linear": 1}, use_rslora=True)
    state, merged = make(weights, config)
    folder = out / "rslora"
    folder.mkdir(parents=True, exist_ok=True)
    save_file(state, folder / "adapter_model.safetensors")
    kept = ("peft_type", "r", "lora_alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora")
    settings = {key: value for key, value in config.to_dict().items() if key in kept}
    (folder / "adapter_config.json").write_text(json.dumps(settings, indent=1, default=str) + "\n")
    save_file(merged, out / "rslora.merged.safetensors")

    # As diffusers does: in its names, with the configuration in the metadata.
    for name, more in {"metadata": {}, "dora": {"use_dora": True}}.items():
        state, merged = make(weights, lora(lora_alpha=2, **more))
        named = {f"transformer.{key.removeprefix(peft)}": value for key, value in state.items()}
        metadata = {"transformer.r": 3, "transformer.lora_alpha": 2, "transformer.use_dora": "use_dora" in more}
        save_file(named, out / f"{name}.safetensors", {"format": "pt", "lora_adapter_metadata": json.dumps(metadata)})
        save_file(merged, out / f"{name}.merged.safetensors")

    # As LyCORIS does: its own endings, an alpha for each layer.
    kronecker = dict(target_modules=LAYERS, init_weights=False)
    for name, config in {
        "loha": LoHaConfig(r=2, alpha=3, target_modules=LAYERS, init_weights=False),
        "lokr": LoKrConfig(r=2, alpha=3, decompose_both=True, decompose_factor=8, **kronecker),
        "lokr_whole": LoKrConfig(r=100, alpha=100, decompose_factor=4, **kronecker),
    }.items():
        state, merged = make(weights, config)
        named = {}
        for key, value in state.items():
            layer, end = key.removeprefix(peft).rsplit(".", 1)
            named[f"lycoris_{layer.replace('.', '_')}.{end}"] = value
        for layer in LAYERS:
            named[f"lycoris_{layer.replace('.', '_')}.alpha"] = torch.tensor(float(config.alpha))
        save_file(named, out / f"{name}.safetensors")
        save_file(merged, out / f"{name}.merged.safetensors")


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
