/** FLUX transformer checkpoints: BFL's names (ours) and diffusers' (FluxTransformer2DModel). */
import { type Dialect, type Piece, prefixed } from './index.ts';

const embedders: Record<string, string> = {
  img_in: 'x_embedder',
  txt_in: 'context_embedder',
  'time_in.in_layer': 'time_text_embed.timestep_embedder.linear_1',
  'time_in.out_layer': 'time_text_embed.timestep_embedder.linear_2',
  'guidance_in.in_layer': 'time_text_embed.guidance_embedder.linear_1',
  'guidance_in.out_layer': 'time_text_embed.guidance_embedder.linear_2',
  'vector_in.in_layer': 'time_text_embed.text_embedder.linear_1',
  'vector_in.out_layer': 'time_text_embed.text_embedder.linear_2',
  'final_layer.linear': 'proj_out',
};

const doubleBlock: Record<string, string[]> = {
  'img_mod.lin': ['norm1.linear'],
  'txt_mod.lin': ['norm1_context.linear'],
  'img_attn.qkv': ['attn.to_q', 'attn.to_k', 'attn.to_v'],
  'txt_attn.qkv': ['attn.add_q_proj', 'attn.add_k_proj', 'attn.add_v_proj'],
  'img_attn.norm.query_norm': ['attn.norm_q'],
  'img_attn.norm.key_norm': ['attn.norm_k'],
  'txt_attn.norm.query_norm': ['attn.norm_added_q'],
  'txt_attn.norm.key_norm': ['attn.norm_added_k'],
  'img_attn.proj': ['attn.to_out.0'],
  'txt_attn.proj': ['attn.to_add_out'],
  'img_mlp.0': ['ff.net.0.proj'],
  'img_mlp.2': ['ff.net.2'],
  'txt_mlp.0': ['ff_context.net.0.proj'],
  'txt_mlp.2': ['ff_context.net.2'],
};

const singleBlock: Record<string, string[]> = {
  'modulation.lin': ['norm.linear'],
  linear1: ['attn.to_q', 'attn.to_k', 'attn.to_v', 'proj_mlp'],
  linear2: ['proj_out'],
  'norm.query_norm': ['attn.norm_q'],
  'norm.key_norm': ['attn.norm_k'],
};

export const fluxDiffusers: Dialect = {
  name: 'diffusers',
  probe: 'x_embedder.weight',
  matches: (names) => names.has('x_embedder.weight'),
  locate(name) {
    const at = name.lastIndexOf('.');
    const [layer, leaf] = [name.slice(0, at), name.slice(at + 1)];
    const suffix = leaf === 'scale' ? 'weight' : leaf;
    const pieces = (stems: string[]): Piece[] => stems.map((stem) => ({ name: `${stem}.${suffix}` }));
    // BFL computes (shift, scale), diffusers (scale, shift).
    if (layer === 'final_layer.adaLN_modulation.1') {
      const stored = `norm_out.linear.${suffix}`;
      return [
        { name: stored, half: 1 },
        { name: stored, half: 0 },
      ];
    }
    const block = layer.match(/^(double|single)_blocks\.(\d+)\.(.+)$/);
    if (!block) return pieces([embedders[layer] ?? layer]);
    const [, kind, index, inner] = block as unknown as [string, string, string, string];
    const table = kind === 'double' ? doubleBlock : singleBlock;
    const folder = kind === 'double' ? 'transformer_blocks' : 'single_transformer_blocks';
    return pieces((table[inner] ?? [inner]).map((stem) => `${folder}.${index}.${stem}`));
  },
};

export const fluxDialects: readonly Dialect[] = [
  prefixed('bfl', '', 'img_in.weight'),
  prefixed('bfl, all in one', 'model.diffusion_model.', 'img_in.weight'),
  fluxDiffusers,
];
