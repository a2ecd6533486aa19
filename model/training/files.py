"""The model folder: reading and writing the parts in the diffusers layout."""
import json
import os

import torch
from safetensors.torch import load_file, save_file

from autoencoder import Autoencoder
from model_folder import MODEL
from prompts import TEXT_LENGTH, Texts
from transformer import CONFIG, Editor

PARTS = {"transformer": ("transformer", "diffusion_pytorch_model.safetensors"), "clip": ("text_encoder", "model.safetensors"),
         "t5": ("text_encoder_2", "model.safetensors")}


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(value, indent=2) + "\n")
    os.replace(temporary, path)


def stored(state):
    """As files have it: matrices as f16, vectors as f32."""
    return {k: (v.half() if v.dim() > 1 else v.float()).contiguous() for k, v in state.items()}


def write_weights(path, state):
    """Written beside and renamed, so that readers never see half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    state = stored(state)
    temporary = str(path) + ".tmp"
    save_file(state, temporary, metadata={"format": "pt"})
    os.chmod(temporary, 0o644)
    os.replace(temporary, path)


def read_weights(path):
    return {k: v.float() for k, v in load_file(path).items()}


def load_autoencoder(folder=MODEL / "vae"):
    return Autoencoder(read_weights(folder / "diffusion_pytorch_model.safetensors"))


def new_editor(texts, cfg=CONFIG, layers=2, positions=TEXT_LENGTH):
    """`layers`: of each text encoder; `positions`: of CLIP."""
    end = texts.clip.token_to_id("<|endoftext|>")
    return Editor(texts.clip.get_vocab_size(), texts.t5.get_vocab_size(), end, cfg, layers, positions)


def text_states(editor):
    """The state dicts under the names the file format uses."""
    clip = {(k if k.startswith("text_model.") else "text_model." + k): v for k, v in editor.clip.state_dict().items()
            if "position_ids" not in k}
    t5 = {k: v for k, v in editor.t5.state_dict().items() if k != "encoder.embed_tokens.weight"}
    return clip, t5


def load_text_states(editor, clip, t5):
    plain = not any(k.startswith("text_model.") for k in editor.clip.state_dict())
    editor.clip.load_state_dict({k.removeprefix("text_model.") if plain else k: v for k, v in clip.items() if "instruction_head" not in k})
    editor.t5.load_state_dict({**t5, "encoder.embed_tokens.weight": t5["shared.weight"]}, strict=False)


def load_editor(root=MODEL):
    """-> (Editor in f32 with the shipped, f16-rounded weights, Texts)"""
    texts = Texts(root)
    configs = {name: json.loads((root / folder / "config.json").read_text()) for name, (folder, _) in PARTS.items()}
    editor = new_editor(texts, configs["transformer"], configs["t5"]["num_layers"], configs["clip"]["max_position_embeddings"])
    states = {name: read_weights(root / folder / file) for name, (folder, file) in PARTS.items()}
    editor.transformer.load_state_dict(states["transformer"])
    load_text_states(editor, states["clip"], states["t5"])
    return editor.eval().requires_grad_(False), texts
