"""Writes the model folder from training checkpoints.

    python export.py --autoencoder DIR                     DIR/encoder.pt and DIR/decoder.pt
    python export.py --transformer DIR/transformer.pt      transformer and text encoders
"""
import argparse
from pathlib import Path

import torch

from autoencoder import CONFIG
from files import MODEL, PARTS, new_editor, text_states, write_json, write_weights
from prompts import TEXT_LENGTH, Texts, build_clip, build_t5
from world import SIZES

SCHEDULER = {
    "_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 1000, "shift": 3.0, "use_dynamic_shifting": True,
    "base_shift": 0.5, "max_shift": 1.15, "base_image_seq_len": 256, "max_image_seq_len": 4096,
}
INDEX = {
    "_class_name": "FluxKontextPipeline", "_diffusers_version": "0.35.0",
    "scheduler": ["diffusers", "FlowMatchEulerDiscreteScheduler"], "text_encoder": ["transformers", "CLIPTextModel"],
    "text_encoder_2": ["transformers", "T5EncoderModel"], "tokenizer": ["transformers", "CLIPTokenizer"],
    "tokenizer_2": ["transformers", "PreTrainedTokenizerFast"], "transformer": ["diffusers", "FluxTransformer2DModel"],
    "vae": ["diffusers", "AutoencoderKL"], "image_encoder": [None, None], "feature_extractor": [None, None],
}
MANIFEST = {
    "air": "retouch:mini@1", "name": "Retouch mini", "architecture": "flux-kontext", "files": ".",
    "defaults": {"steps": 28, "guidance": 2.5}, "guidance": {"max": 7}, "sizes": SIZES,
    "license": "Apache-2.0", "price": {"perImage": 0},
}


def frame():
    write_json(MODEL / "model_index.json", INDEX)
    write_json(MODEL / "scheduler/scheduler_config.json", SCHEDULER)
    write_json(MODEL / "manifest.json", MANIFEST)
    if not (MODEL / "tokenizer_2/tokenizer.json").exists():
        build_clip(MODEL / "tokenizer")
        build_t5(MODEL / "tokenizer_2")


def export_autoencoder(work):
    write_json(MODEL / "vae/config.json", CONFIG)
    halves = torch.load(work / "encoder.pt")["tensors"], torch.load(work / "decoder.pt")["tensors"]
    write_weights(MODEL / "vae/diffusion_pytorch_model.safetensors", halves[0] | halves[1])


def export_editor(editor, texts):
    clip, t5 = text_states(editor)
    end = texts.clip.token_to_id("<|endoftext|>")
    configs = {
        "transformer": editor.transformer.cfg,
        "clip": {**editor.clip.config.to_dict(), "architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
                 "max_position_embeddings": TEXT_LENGTH, "eos_token_id": end},
        "t5": {**editor.t5.config.to_dict(), "architectures": ["T5EncoderModel"]},
    }
    states = {"transformer": editor.transformer.state_dict(), "clip": clip, "t5": t5}
    for name, (folder, file) in PARTS.items():
        write_json(MODEL / folder / "config.json", configs[name])
        write_weights(MODEL / folder / file, states[name])


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--autoencoder", type=Path)
    parser.add_argument("--transformer", type=Path)
    args = parser.parse_args()
    frame()
    if args.autoencoder:
        export_autoencoder(args.autoencoder)
    texts = Texts(MODEL)
    if args.transformer:
        editor = new_editor(texts)
        editor.load_state_dict(torch.load(args.transformer)["ema"])
        export_editor(editor, texts)
    total = 0
    for path in sorted(MODEL.glob("*/*.*")):
        if path.suffix in (".safetensors", ".json"):
            total += path.stat().st_size
    print(f"model folder: {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
