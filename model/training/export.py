"""Writes the model folder from training checkpoints.

    python export.py --autoencoder DIR                     DIR/encoder.pt and DIR/decoder.pt
    python export.py --transformer DIR/transformer.pt      transformer and text encoders
    python export.py --text DIR/speech.pt                  text encoders that know people's speech, and the instruction head
"""
import argparse
import json
from pathlib import Path

import torch

from autoencoder import CONFIG
from files import MODEL, PARTS, new_editor, text_states, write_json, write_weights
from prompts import TEXT_LENGTH, Texts, build_clip, build_t5
from train_text import LAYERS, Student
from transformer import sinusoid
from world import SIZES

CAUTION = 1.0   # added to the head's logit: an instruction that is refused is worse than a warning that is missed, which the engine
                # gives as well where no token changes
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
    "defaults": {"steps": 28, "guidance": 2.5}, "guidance": {"max": 20}, "sizes": SIZES[::-1],
    "photographs": False, "license": "Apache-2.0", "price": {"perImage": 0},
}


def frame():
    write_json(MODEL / "model_index.json", INDEX)
    write_json(MODEL / "scheduler/scheduler_config.json", SCHEDULER)
    known = json.loads((MODEL / "manifest.json").read_text()) if (MODEL / "manifest.json").exists() else {}
    write_json(MODEL / "manifest.json", known | MANIFEST)
    if not (MODEL / "tokenizer_2/tokenizer.json").exists():
        build_clip(MODEL / "tokenizer")
        build_t5(MODEL / "tokenizer_2")


def export_autoencoder(work):
    write_json(MODEL / "vae/config.json", CONFIG)
    halves = torch.load(work / "encoder.pt")["tensors"], torch.load(work / "decoder.pt")["tensors"]
    write_weights(MODEL / "vae/diffusion_pytorch_model.safetensors", halves[0] | halves[1])


@torch.no_grad()
def narrow_guidance(embedder, usual=2.5, share=.004):
    """Leaves of what guidance changes a share, about the usual one.

    Training gave every guidance from 1 to 5 the same targets; beyond that the embedding, which has ten times their length at 7.5 and
    a hundred times at 20, drew noise. With this share that of 20 is as far from the usual one as those of 1 and 4 were.
    """
    middle = embedder(sinusoid(1000 * torch.tensor([usual])))[0]
    embedder.linear_2.weight.mul_(share)
    embedder.linear_2.bias.copy_(share * embedder.linear_2.bias + (1 - share) * middle)


def export_transformer(transformer):
    narrow_guidance(transformer.time_text_embed.guidance_embedder)
    write_part("transformer", transformer.cfg, transformer.state_dict())


def export_text(encoders, texts, head=None):
    """`head`: the linear reader of CLIP's summary that tells whether a sentence asks for anything of the world."""
    clip, t5 = text_states(encoders)
    if head is not None:
        clip |= {"text_model.instruction_head.weight": head.weight, "text_model.instruction_head.bias": head.bias + CAUTION}
    write_part("clip", {**encoders.clip.config.to_dict(), "architectures": ["CLIPTextModel"], "model_type": "clip_text_model",
                        "max_position_embeddings": TEXT_LENGTH, "eos_token_id": texts.clip.token_to_id("<|endoftext|>")}, clip)
    write_part("t5", {**encoders.t5.config.to_dict(), "architectures": ["T5EncoderModel"]}, t5)


def write_part(name, config, state):
    folder, file = PARTS[name]
    write_json(MODEL / folder / "config.json", config)
    write_weights(MODEL / folder / file, state)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--autoencoder", type=Path)
    parser.add_argument("--transformer", type=Path)
    parser.add_argument("--text", type=Path)
    args = parser.parse_args()
    frame()
    if args.autoencoder:
        export_autoencoder(args.autoencoder)
    texts = Texts(MODEL)
    if args.transformer:
        editor = new_editor(texts)
        editor.load_state_dict(torch.load(args.transformer)["ema"])
        export_transformer(editor.transformer)
        export_text(editor, texts)
    if args.text:
        student = Student(new_editor(texts, layers=LAYERS))
        student.load_state_dict(torch.load(args.text, weights_only=False)["ema"])
        export_text(student, texts, student.recognises)
    total = 0
    for path in sorted(MODEL.glob("*/*.*")):
        if path.suffix in (".safetensors", ".json"):
            total += path.stat().st_size
    print(f"model folder: {total / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
