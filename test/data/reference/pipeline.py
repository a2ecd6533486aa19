"""A small random FLUX.1 Kontext checkpoint, and what diffusers' FluxKontextPipeline makes of it in float32.

python pipeline.py DIR writes DIR/model (diffusers' layout: bf16, the transformer in two shards), the reference
pictures DIR/{drawing,photo}.png, DIR/cases.json and the expected picture DIR/<case>.png of every case. DIR/model has
the tokenizers of test/data/tokenizers. Needs torch, transformers and diffusers (0.40, commit 58eb52c).
"""
import json
import pathlib
import shutil
import sys

import numpy as np
import torch
from diffusers import AutoencoderKL, FlowMatchEulerDiscreteScheduler, FluxKontextPipeline, FluxTransformer2DModel
from PIL import Image, ImageDraw
from torch import nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer, T5Config, T5EncoderModel, T5TokenizerFast

TOKENIZERS = pathlib.Path(__file__).parents[1] / "tokenizers"
TEXT_TOKENS = 64

BASE = {"prompt": "make the sky pink", "negativePrompt": "", "reference": None, "width": 128, "height": 96,
        "seed": "42", "steps": 4, "guidance": 2.5, "trueCfg": 1}
CASES = {
    "text": BASE | {"prompt": "a red house on a hill, at night", "width": 160, "height": 112, "steps": 6, "guidance": 4},
    "edit": BASE | {"reference": "drawing"},
    "stretched": BASE | {"reference": "photo", "seed": "9007199254740993", "width": 96, "height": 144},
    "opposed": BASE | {"reference": "drawing", "negativePrompt": "dark, blurred", "trueCfg": 3, "guidance": 3.5},
}


def networks():
    clip_tokenizer, t5_tokenizer = (kind.from_pretrained(TOKENIZERS / name, **more) for kind, name, more in [
        (CLIPTokenizer, "clip", {}), (T5TokenizerFast, "t5", {"model_max_length": TEXT_TOKENS})])
    clip = CLIPTextModel(CLIPTextConfig(
        vocab_size=len(clip_tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=2,
        projection_dim=32, bos_token_id=clip_tokenizer.bos_token_id, eos_token_id=clip_tokenizer.eos_token_id))
    t5 = T5EncoderModel(T5Config(
        vocab_size=len(t5_tokenizer), d_model=48, d_kv=16, d_ff=96, num_layers=2, num_heads=4,
        feed_forward_proj="gated-gelu", tie_word_embeddings=False))
    transformer = FluxTransformer2DModel(
        num_layers=2, num_single_layers=2, attention_head_dim=32, num_attention_heads=2, joint_attention_dim=48,
        pooled_projection_dim=32, guidance_embeds=True, axes_dims_rope=(8, 12, 12))
    vae = AutoencoderKL(
        down_block_types=["DownEncoderBlock2D"] * 4, up_block_types=["UpDecoderBlock2D"] * 4, layers_per_block=1,
        block_out_channels=[16, 16, 32, 32], norm_num_groups=16, latent_channels=16, scaling_factor=0.3611,
        shift_factor=0.1159, use_quant_conv=False, use_post_quant_conv=False)
    scheduler = FlowMatchEulerDiscreteScheduler(
        shift=3.0, use_dynamic_shifting=True, base_shift=0.5, max_shift=1.15, base_image_seq_len=256, max_image_seq_len=4096)
    enliven([clip, t5, transformer, vae])
    return FluxKontextPipeline(scheduler, vae, clip, clip_tokenizer, t5, t5_tokenizer, transformer)


@torch.no_grad()
def enliven(models):
    """Weights of unit gain, and norms and biases that are neither one nor zero, so that no part can be left out unseen."""
    for model in models:
        for name, module in model.named_modules():
            weight, bias = getattr(module, "weight", None), getattr(module, "bias", None)
            if isinstance(module, (nn.Linear, nn.Conv2d)):
                nn.init.normal_(weight, std=weight[0].numel() ** -0.5)
            elif isinstance(module, nn.Embedding):
                nn.init.normal_(weight, std=1.0)
            elif weight is not None:  # a norm; sharper queries and keys make attention choose
                nn.init.normal_(weight, mean=1.8 if ".norm_" in name else 1.0, std=0.2)
            if bias is not None:
                nn.init.normal_(bias, std=0.1)
    clip, t5, transformer, vae = models
    # T5 does not divide its scores by the root of their width, so its initialisation does.
    for block in t5.encoder.block:
        block.layer[0].SelfAttention.q.weight *= 16**-0.5
    vae.decoder.conv_out.weight *= 0.4


def drawing():
    """Exactly a size Kontext was trained at."""
    picture = Image.new("RGB", (1248, 832), (120, 170, 220))
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 560, 1248, 832), (70, 140, 60))
    draw.ellipse((900, 80, 1080, 260), (250, 220, 60))
    draw.polygon([(200, 420), (420, 240), (640, 420)], (150, 60, 40))
    draw.rectangle((240, 420, 600, 660), (220, 200, 170))
    return picture


def photo():
    """No such size: it is enlarged and stretched. diffusers cuts both sides to multiples of 16 before it looks for the
    nearest ratio, we do not; of this picture both make 880×1184."""
    y, x = np.mgrid[0:125, 0:90] / 16
    waves = np.stack([np.sin(x + y), np.cos(1.3 * x - y), np.sin(x * y / 4)], -1) * 90 + 128
    noise = np.random.default_rng(7).normal(0, 12, waves.shape)
    return Image.fromarray(np.clip(waves + noise, 0, 255).astype(np.uint8))


def run(pipeline, case, folder):
    reference = Image.open(folder / f"{case['reference']}.png") if case["reference"] else None
    return pipeline(
        image=reference, prompt=case["prompt"], negative_prompt=case["negativePrompt"], true_cfg_scale=case["trueCfg"],
        width=case["width"], height=case["height"], num_inference_steps=case["steps"], guidance_scale=case["guidance"],
        generator=torch.Generator().manual_seed(int(case["seed"])), max_sequence_length=TEXT_TOKENS,
        # Otherwise the size becomes one of about a megapixel.
        max_area=case["width"] * case["height"]).images[0]


def psnr(a, b):
    error = np.mean((np.asarray(a, np.float64) - np.asarray(b, np.float64)) ** 2)
    return 10 * np.log10(255**2 / max(error, 1e-12))


def sensitivity(pipeline, folder):
    """How far the picture moves with each input alone: what a comparison at 50 dB can see."""
    base = BASE | {"reference": "drawing", "trueCfg": 2, "negativePrompt": "dark"}
    changes = [{"prompt": "make the sky red"}, {"reference": "photo"}, {"reference": None}, {"guidance": 3}, {"steps": 5},
               {"seed": "43"}, {"negativePrompt": "dull"}, {"trueCfg": 2.2}]
    expected = run(pipeline, base, folder)
    for change in changes:
        print(f"{psnr(run(pipeline, base | change, folder), expected):6.1f} dB", change)


def main(folder):
    torch.manual_seed(5)
    torch.set_num_threads(1)
    shutil.rmtree(folder / "model", ignore_errors=True)
    folder.mkdir(parents=True, exist_ok=True)
    networks().to(torch.bfloat16).save_pretrained(folder / "model", max_shard_size="600KB")
    drawing().save(folder / "drawing.png", optimize=True)
    photo().save(folder / "photo.png", optimize=True)
    (folder / "cases.json").write_text(json.dumps(CASES, indent=2) + "\n")
    pipeline = FluxKontextPipeline.from_pretrained(folder / "model", dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    # Pictures arrive channels last, where torch's GroupNorm adds up a million values one by one: over flat colours its
    # f32 result is 1e-2 from its f64 result, and the latent 9e-2. Planar it is 3e-6.
    pipeline.vae.encoder.register_forward_pre_hook(lambda _, inputs: (inputs[0].contiguous(), *inputs[1:]))
    for name, case in CASES.items():
        picture = run(pipeline, case, folder)
        picture.save(folder / f"{name}.png", optimize=True)
        values = np.asarray(picture, np.float64)
        edge = np.mean((values == 0) | (values == 255))
        print(f"{name}: {picture.size} mean {values.mean():.0f} std {values.std():.0f}, {100 * edge:.1f} % black or white")
    if "--sensitivity" in sys.argv:
        sensitivity(pipeline, folder)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
