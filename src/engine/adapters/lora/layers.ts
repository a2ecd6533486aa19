/** The layers a LoRA may update, under every name that LoRA files use. */

import { clipGraph } from '../../models/clip.ts';
import { segmentBuilder, segmentNames } from '../../models/flux-segments.ts';
import { t5Graph } from '../../models/t5.ts';
import type { Components } from '../../networks/components.ts';
import type { LinearLayer } from '../../onnx/graph.ts';
import { fluxDiffusers } from '../../weights/dialects/flux.ts';
import type { Compute, RowSegment } from '../../weights/weights.ts';

export const networks = ['transformer', 'clip', 't5'] as const;
export type Network = (typeof networks)[number];

/** A linear layer of the model, or the rows of one that another implementation has as a separate layer. */
export type Target = { network: Network; slot: LinearLayer; segments: readonly RowSegment[] };

/** Name of a layer → target, for every network. */
export type Layers = Readonly<Record<Network, ReadonlyMap<string, Target>>>;

/** Lists the linear layers of a model by building its graphs, which reads no weights. */
export function layersOf({ transformer, clip, t5 }: Pick<Components, 'transformer' | 'clip' | 't5'>): Layers {
  const compute: Compute = { precision: 'f32', fused: true };
  const build = segmentBuilder(transformer.source, transformer.config);
  const slots = segmentNames(transformer.config).flatMap((name) => build(name, compute).linears);
  return {
    transformer: new Map(slots.flatMap(transformerNames)),
    clip: new Map(
      clipGraph(clip.source, clip.config, compute).linears.flatMap((slot) =>
        spelled('clip', slot, { [slot.name]: whole(slot), [`text_model.${slot.name}`]: whole(slot) }),
      ),
    ),
    t5: new Map(
      t5Graph(t5.source, t5.config, compute).linears.flatMap((slot) =>
        spelled('t5', slot, { [slot.name]: whole(slot) }),
      ),
    ),
  };
}

/** BFL's names, which this engine uses, and diffusers', which split the fused layers. */
function transformerNames(slot: LinearLayer): [string, Target][] {
  const names: Record<string, RowSegment[]> = { [slot.name]: whole(slot) };
  const block = slot.name.match(/^(double|single)_blocks\.(\d+)\.(.+)$/);
  if (block) {
    const [, kind, index, layer] = block as unknown as [string, string, string, string];
    if (layer === 'linear1') {
      // The attention's part of a single block's first layer: ComfyUI's name of it, and diffusers' where it was fused.
      names[`${slot.name}_qkv`] = rows(0, 3 * slot.inputs);
      names[`single_transformer_blocks.${index}.attn.to_qkv`] = rows(0, 3 * slot.inputs);
    }
    const fused = fusedNames[layer];
    if (fused) names[`transformer_blocks.${index}.attn.${fused}`] = whole(slot);
    const diffSynth = diffSynthNames[layer];
    if (diffSynth)
      names[`${kind === 'double' ? 'blocks' : 'single_blocks'}.${index}.${diffSynth}`] = whole(slot);
  }
  const pieces = fluxDiffusers.locate(`${slot.name}.weight`, new Set());
  if (pieces.some(({ half }) => half !== undefined)) {
    // The halves of the last modulation are stored the other way round.
    const half = slot.outputs / 2;
    names[stem(pieces[0]!.name)] = pieces.map((piece, i) => ({
      stored: piece.half! * half,
      at: i * half,
      count: half,
    }));
  } else {
    // q, k and v are as wide as the input; the remaining rows are the MLP's.
    pieces.forEach(({ name }, i) => {
      const at = i * slot.inputs;
      const last = i === pieces.length - 1;
      names[stem(name)] = rows(at, last ? slot.outputs - at : slot.inputs);
    });
  }
  return spelled('transformer', slot, names);
}

/** kohya's trainer and its derivatives replace every dot by an underscore. */
function spelled(
  network: Network,
  slot: LinearLayer,
  names: Record<string, RowSegment[]>,
): [string, Target][] {
  return Object.entries(names).flatMap(([name, segments]) => {
    const target = { network, slot, segments };
    return [
      [name, target],
      [name.replaceAll('.', '_'), target],
    ] satisfies [string, Target][];
  });
}

/** diffusers' `fuse_qkv_projections` gives its layers these names. */
const fusedNames: Readonly<Record<string, string>> = {
  'img_attn.qkv': 'to_qkv',
  'txt_attn.qkv': 'to_added_qkv',
};

/** DiffSynth-Studio's names (flux_dit.py), where a is the image and b the text. */
const diffSynthNames: Readonly<Record<string, string>> = {
  'img_mod.lin': 'norm1_a.linear',
  'txt_mod.lin': 'norm1_b.linear',
  'img_attn.qkv': 'attn.a_to_qkv',
  'txt_attn.qkv': 'attn.b_to_qkv',
  'img_attn.proj': 'attn.a_to_out',
  'txt_attn.proj': 'attn.b_to_out',
  'img_mlp.0': 'ff_a.0',
  'img_mlp.2': 'ff_a.2',
  'txt_mlp.0': 'ff_b.0',
  'txt_mlp.2': 'ff_b.2',
  'modulation.lin': 'norm.linear',
  linear1: 'to_qkv_mlp',
  linear2: 'proj_out',
};

function stem(tensor: string): string {
  return tensor.slice(0, tensor.lastIndexOf('.'));
}

function whole({ outputs }: LinearLayer): RowSegment[] {
  return rows(0, outputs);
}

function rows(at: number, count: number): RowSegment[] {
  return [{ stored: 0, at, count }];
}
