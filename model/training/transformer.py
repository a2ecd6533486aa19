"""The FLUX transformer with diffusers' parameter names, and the two text encoders.

Shapes: S text tokens, N image tokens (target, then reference), D hidden size.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F
from transformers import CLIPTextConfig, CLIPTextModel, T5Config, T5EncoderModel

from prompts import TEXT_LENGTH

CONFIG = {
    "_class_name": "FluxTransformer2DModel", "patch_size": 1, "in_channels": 128, "out_channels": 128, "num_layers": 2,
    "num_single_layers": 4, "attention_head_dim": 32, "num_attention_heads": 8, "joint_attention_dim": 128,
    "pooled_projection_dim": 128, "guidance_embeds": True, "axes_dims_rope": [8, 12, 12],
}


def rope(ids, axes, theta=10000.0):
    """ids [N,3] -> cos, sin [N, head_dim/2] of interleaved pairs."""
    angles = []
    for axis, dim in enumerate(axes):
        omega = theta ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
        angles.append(ids[:, axis, None].double() * omega)
    angles = torch.cat(angles, -1)
    return angles.cos().float(), angles.sin().float()


def rotate(x, cos, sin):
    """x [B,H,N,d], pairs (2j, 2j+1) turned by the tables."""
    a, b = x[..., 0::2], x[..., 1::2]
    return torch.stack((a * cos - b * sin, b * cos + a * sin), -1).flatten(-2)


def sinusoid(x, dim=256):
    """x [B] -> [B,dim], cosines first."""
    omega = torch.exp(-math.log(10000) * torch.arange(dim // 2) / (dim // 2))
    args = x[:, None] * omega
    return torch.cat((args.cos(), args.sin()), -1)


class Embedding(nn.Module):
    def __init__(self, cin, dim):
        super().__init__()
        self.linear_1, self.linear_2 = nn.Linear(cin, dim), nn.Linear(dim, dim)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class TimeTextEmbed(nn.Module):
    def __init__(self, dim, pooled):
        super().__init__()
        self.timestep_embedder, self.guidance_embedder = Embedding(256, dim), Embedding(256, dim)
        self.text_embedder = Embedding(pooled, dim)

    def forward(self, t, guidance, pooled):
        return (self.timestep_embedder(sinusoid(1000 * t)) + self.guidance_embedder(sinusoid(1000 * guidance))
                + self.text_embedder(pooled))


class Modulation(nn.Module):
    """vec [B,D] -> `parts` tensors [B,1,D]."""

    def __init__(self, dim, parts):
        super().__init__()
        self.linear, self.parts = nn.Linear(dim, parts * dim), parts

    def forward(self, vec):
        return self.linear(F.silu(vec))[:, None].chunk(self.parts, -1)


class FeedForward(nn.Module):
    def __init__(self, dim):
        super().__init__()
        first = nn.Module()
        first.proj = nn.Linear(dim, 4 * dim)
        self.net = nn.ModuleList([first, nn.Identity(), nn.Linear(4 * dim, dim)])

    def forward(self, x):
        return self.net[2](F.gelu(self.net[0].proj(x), approximate="tanh"))


class Attention(nn.Module):
    def __init__(self, dim, heads, head_dim, double):
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(dim, dim) for _ in range(3))
        self.norm_q, self.norm_k = nn.RMSNorm(head_dim, eps=1e-6), nn.RMSNorm(head_dim, eps=1e-6)
        if double:
            self.add_q_proj, self.add_k_proj, self.add_v_proj = (nn.Linear(dim, dim) for _ in range(3))
            self.norm_added_q, self.norm_added_k = nn.RMSNorm(head_dim, eps=1e-6), nn.RMSNorm(head_dim, eps=1e-6)
            self.to_out, self.to_add_out = nn.ModuleList([nn.Linear(dim, dim)]), nn.Linear(dim, dim)

    def split(self, x):
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)

    def image(self, x):
        return self.norm_q(self.split(self.to_q(x))), self.norm_k(self.split(self.to_k(x))), self.split(self.to_v(x))

    def text(self, x):
        return (self.norm_added_q(self.split(self.add_q_proj(x))), self.norm_added_k(self.split(self.add_k_proj(x))),
                self.split(self.add_v_proj(x)))


def attend(q, k, v, table, rows=slice(None)):
    q, k = rotate(q, table[0][rows], table[1][rows]), rotate(k, *table)
    return F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


def norm(x, shift, scale):
    return F.layer_norm(x, x.shape[-1:], eps=1e-6) * (1 + scale) + shift


class DoubleBlock(nn.Module):
    def __init__(self, dim, heads, head_dim):
        super().__init__()
        self.norm1, self.norm1_context = Modulation(dim, 6), Modulation(dim, 6)
        self.attn = Attention(dim, heads, head_dim, double=True)
        self.ff, self.ff_context = FeedForward(dim), FeedForward(dim)

    def forward(self, img, txt, vec, table):
        shift, scale, gate, shift2, scale2, gate2 = self.norm1(vec)
        tshift, tscale, tgate, tshift2, tscale2, tgate2 = self.norm1_context(vec)
        q, k, v = (torch.cat(p, 2) for p in zip(self.attn.text(norm(txt, tshift, tscale)), self.attn.image(norm(img, shift, scale))))
        out = attend(q, k, v, table)
        txt = txt + tgate * self.attn.to_add_out(out[:, :txt.shape[1]])
        img = img + gate * self.attn.to_out[0](out[:, txt.shape[1]:])
        txt = txt + tgate2 * self.ff_context(norm(txt, tshift2, tscale2))
        return img + gate2 * self.ff(norm(img, shift2, scale2)), txt


class SingleBlock(nn.Module):
    def __init__(self, dim, heads, head_dim):
        super().__init__()
        self.norm = Modulation(dim, 3)
        self.attn = Attention(dim, heads, head_dim, double=False)
        self.proj_mlp, self.proj_out = nn.Linear(dim, 4 * dim), nn.Linear(5 * dim, dim)

    def forward(self, x, vec, table, rows=slice(None)):
        """`rows`: the tokens whose result is wanted; the others are only looked at."""
        shift, scale, gate = self.norm(vec)
        h = norm(x, shift, scale)
        q, k, v = self.attn.image(h)
        mixed = torch.cat((attend(q[:, :, rows], k, v, table, rows), F.gelu(self.proj_mlp(h[:, rows]), approximate="tanh")), -1)
        return x[:, rows] + gate * self.proj_out(mixed)


class NormOut(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear = nn.Linear(dim, 2 * dim)

    def forward(self, x, vec):
        scale, shift = self.linear(F.silu(vec))[:, None].chunk(2, -1)
        return norm(x, shift, scale)


class Transformer(nn.Module):
    def __init__(self, cfg=CONFIG):
        super().__init__()
        self.cfg = cfg
        heads, head_dim = cfg["num_attention_heads"], cfg["attention_head_dim"]
        dim = heads * head_dim
        self.time_text_embed = TimeTextEmbed(dim, cfg["pooled_projection_dim"])
        self.context_embedder = nn.Linear(cfg["joint_attention_dim"], dim)
        self.x_embedder = nn.Linear(cfg["in_channels"], dim)
        self.transformer_blocks = nn.ModuleList(DoubleBlock(dim, heads, head_dim) for _ in range(cfg["num_layers"]))
        self.single_transformer_blocks = nn.ModuleList(SingleBlock(dim, heads, head_dim) for _ in range(cfg["num_single_layers"]))
        self.norm_out = NormOut(dim)
        self.proj_out = nn.Linear(dim, cfg["out_channels"])

    def forward(self, x, text, pooled, t, guidance, ids, targets, taps=None):
        """x [B,N,C] packed tokens, text [B,S,J], pooled [B,P], t and guidance [B], ids [N,3] -> v [B,targets,C].

        `taps`: a dict that receives hidden states for the training's auxiliary losses.
        """
        vec = self.time_text_embed(t, guidance, pooled)
        img, txt = self.x_embedder(x), self.context_embedder(text)
        count = txt.shape[1]
        table = rope(torch.cat((ids.new_zeros(count, 3), ids)), self.cfg["axes_dims_rope"])
        for block in self.transformer_blocks:
            img, txt = block(img, txt, vec, table)
        if taps is not None:
            taps["early"] = img
        x = torch.cat((txt, img), 1)
        last = len(self.single_transformer_blocks) - 1
        for i, block in enumerate(self.single_transformer_blocks):
            if taps is not None and i == last:
                taps["late"] = x[:, count:count + targets]
            x = block(x, vec, table, slice(count, count + targets) if i == last else slice(None))
        return self.proj_out(self.norm_out(x, vec))


def image_ids(h, w, reference):
    """Token ids [h*w,3]: (0 or 1, row, column)."""
    rows, cols = torch.meshgrid(torch.arange(h), torch.arange(w), indexing="ij")
    return torch.stack((torch.full_like(rows, int(reference)), rows, cols), -1).reshape(-1, 3).float()


def pack(z):
    """[B,C,2h,2w] -> [B,h*w,4C], channel order (c, py, px)."""
    b, c, h, w = z.shape
    return z.reshape(b, c, h // 2, 2, w // 2, 2).permute(0, 2, 4, 1, 3, 5).reshape(b, h * w // 4, c * 4)


def unpack(x, h, w):
    """[B,h*w,4C] -> [B,C,2h,2w]."""
    b, _, c = x.shape
    return x.reshape(b, h, w, c // 4, 2, 2).permute(0, 3, 1, 4, 2, 5).reshape(b, c // 4, 2 * h, 2 * w)


def text_encoders(clip_vocab, t5_vocab, eos, width=128, layers=2, positions=TEXT_LENGTH):
    """Small CLIP text and T5 encoders, randomly initialised."""
    clip = CLIPTextModel(CLIPTextConfig(
        vocab_size=clip_vocab, hidden_size=width, intermediate_size=4 * width, num_hidden_layers=layers, num_attention_heads=4,
        max_position_embeddings=positions, hidden_act="quick_gelu", projection_dim=width, bos_token_id=eos - 1,
        eos_token_id=eos, pad_token_id=eos, initializer_factor=1.0))
    t5 = T5EncoderModel(T5Config(
        vocab_size=t5_vocab, d_model=width, d_kv=32, d_ff=2 * width, num_layers=layers, num_heads=4, dropout_rate=0.0,
        feed_forward_proj="gated-gelu", pad_token_id=0, eos_token_id=1, is_encoder_decoder=False, use_cache=False))
    return clip, t5


class Editor(nn.Module):
    """Everything the transformer's training updates."""

    def __init__(self, clip_vocab, t5_vocab, eos, cfg=CONFIG, layers=2, positions=TEXT_LENGTH):
        super().__init__()
        self.transformer = Transformer(cfg)
        self.clip, self.t5 = text_encoders(clip_vocab, t5_vocab, eos, cfg["joint_attention_dim"], layers, positions)

    def encode_text(self, clip_ids, t5_ids):
        """ids [B,L] -> text [B,L,J], pooled [B,P]. Padding is attended, as in FLUX."""
        return self.t5(input_ids=t5_ids).last_hidden_state, self.clip(input_ids=clip_ids).pooler_output

    def forward(self, noisy, reference, t, guidance, clip_ids, t5_ids, grids, taps=None):
        """noisy [B,T,C], reference [B,R,C] or None, grids [(h,w) of the target, of the reference]."""
        text, pooled = self.encode_text(clip_ids, t5_ids)
        if taps is not None:
            taps.update(text=text, pooled=pooled)
        ids, x = [image_ids(*grids[0], False)], noisy
        if reference is not None:
            ids.append(image_ids(*grids[1], True))
            x = torch.cat((noisy, reference), 1)
        return self.transformer(x, text, pooled, t, guidance, torch.cat(ids), noisy.shape[1], taps)

    @torch.no_grad()
    def initialise(self):
        """Starts from a network in which half of the heads look at the reference token of the same place.

        Copying the reference is what every edit needs first; the rest is learned on top of it.
        """
        model, cfg = self.transformer, self.transformer.cfg
        for m in model.modules():
            if isinstance(m, nn.Linear):
                nn.init.xavier_uniform_(m.weight)
                nn.init.zeros_(m.bias)
        nn.init.zeros_(model.proj_out.weight)
        nn.init.zeros_(model.norm_out.linear.weight)
        nn.init.orthogonal_(model.x_embedder.weight, gain=1.5)
        for embedder in (model.time_text_embed.timestep_embedder, model.time_text_embed.guidance_embedder,
                         model.time_text_embed.text_embedder):
            nn.init.normal_(embedder.linear_1.weight, std=0.02)
            nn.init.normal_(embedder.linear_2.weight, std=0.02)
        dim, head_dim = model.x_embedder.out_features, cfg["attention_head_dim"]
        first, row, column = 0, cfg["axes_dims_rope"][0], sum(cfg["axes_dims_rope"][:2])
        sharp = [first, row, row + 2, column, column + 2]   # pairs with the highest frequencies of each axis
        for block in [*model.transformer_blocks, *model.single_transformer_blocks]:
            double = isinstance(block, DoubleBlock)
            for modulation in [block.norm1, block.norm1_context] if double else [block.norm]:
                nn.init.normal_(modulation.linear.weight, std=0.01)
                gates = (2, 5) if double else (2,)
                for g in gates:
                    modulation.linear.bias[g * dim:(g + 1) * dim] = 0.3
            attn = block.attn
            for n in (attn.norm_q, attn.norm_k):
                for d in sharp:
                    n.weight[d:d + 2] = 2.0
            for head in range(cfg["num_attention_heads"] // 2):
                rows = slice(head * head_dim, (head + 1) * head_dim)
                for linear in (attn.to_q, attn.to_k):
                    linear.weight[rows] *= 0.3
                    for d in sharp:
                        linear.bias[head * head_dim + d] = 2.0
                # the key is turned back by one, so that a target (0) finds the reference (1) at angle zero
                attn.to_k.bias[head * head_dim] = 2.0 * math.cos(1)
                attn.to_k.bias[head * head_dim + 1] = -2.0 * math.sin(1)
