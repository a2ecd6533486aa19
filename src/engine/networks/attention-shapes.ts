/** The attention of each of a model's networks: what a device's self-test asks, and how each is computed by its answers. */
import { queryBlocks } from '../nn/attention.ts';
import { type AttentionShape, isFused, type SelfTest } from '../onnx/self-test.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import type { Components } from './components.ts';
import { imageTokens, standardTokens, textTokens } from './token-counts.ts';

export type NetworkName = 'transformer' | 't5' | 'clip' | 'encoder' | 'decoder';

/** `memory`: bytes that may be used, which bound the scores of a block of queries. */
export type NetworkAttention = AttentionShape & { heads: number; memory?: number };

type Always = 'transformer' | 't5' | 'clip';

/** An autoencoder's halves may be without attention. */
export type AttentionShapes = Record<Always, NetworkAttention> &
  Partial<Record<NetworkName, NetworkAttention>>;

/** At the sizes of an edit of one megapixel with one reference. */
export function attentionShapes(components: Components, memory?: number): AttentionShapes {
  const { transformer, t5, clip, autoencoder } = components;
  const shape = (heads: number, width: number, tokens: number, bias: AttentionShape['bias']) => ({
    ...{ heads, headWidth: width / heads },
    ...{ tokens, bias },
    ...(memory === undefined ? {} : { memory }),
  });
  const { config, source } = autoencoder;
  const positions = 4 * imageTokens(components, { width: 1024, height: 1024 });
  const half = (name: 'encoder' | 'decoder', width: number) =>
    hasAttention(source, name) ? { [name]: shape(1, width, positions, 'none') } : {};
  return {
    transformer: shape(
      transformer.config.heads,
      transformer.config.hidden,
      standardTokens(components),
      'none',
    ),
    t5: shape(t5.config.heads, t5.config.heads * t5.config.headDim, textTokens(components), 'heads'),
    clip: shape(clip.config.heads, clip.config.hidden, clip.config.positions, 'causal'),
    ...half('encoder', config.channels.at(-1)!),
    ...half('decoder', config.decoderChannels.at(-1)!),
  };
}

/** Several references are at most four times the tokens of an edit with one. */
const mostOverStandard = 4;

/**
 * The shapes that a device is examined for: those of the networks, and the longest of the transformer, whose kernels may be
 * others. Both are of one length class in FLUX.1; in a small model an image of another shape may be of the next.
 */
export function examinedShapes(shapes: AttentionShapes): AttentionShape[] {
  const { transformer } = shapes;
  return [...Object.values(shapes), { ...transformer, tokens: mostOverStandard * transformer.tokens }];
}

function hasAttention(source: WeightSource, half: 'encoder' | 'decoder'): boolean {
  return source.hasAny(`${half}.mid.attn_1.q.weight`);
}

/**
 * How a network computes its attention: fused where the self-test found that right, else in as many blocks of queries as
 * keep a block's scores small.
 */
export function attentionCompute(
  { precision, half = false }: Compute,
  test: Pick<SelfTest, 'passed'>,
  shape: NetworkAttention | undefined,
): Pick<Compute, 'fused' | 'queryBlocks'> {
  if (!shape) return { fused: false };
  if (isFused(test, shape, precision === 'f16' && half)) return { fused: true };
  return { fused: false, queryBlocks: queryBlocks(shape, shape.memory) };
}
