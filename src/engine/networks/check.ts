/** Checks from their headers that this build can compute with a model's files. */
import { decoderGraph, encoderGraph } from '../models/autoencoder.ts';
import { decoderTinyGraph } from '../models/autoencoder-tiny.ts';
import { clipGraph } from '../models/clip.ts';
import { segmentBuilder, segmentNames } from '../models/flux-segments.ts';
import { t5Graph } from '../models/t5.ts';
import type { Compute } from '../weights/weights.ts';
import type { Components } from './components.ts';

/**
 * Builds every graph of a model, which checks the name, shape and type of every tensor and reads none.
 *
 * @throws RetouchError `tensorMissing`, `tensorMisshapen`, `dtypeUnsupported`
 */
export function checkComputable({ transformer, autoencoder, tiny, clip, t5 }: Components): void {
  const compute: Compute = { precision: 'f32', fused: true };
  const build = segmentBuilder(transformer.source, transformer.config);
  for (const name of segmentNames(transformer.config)) build(name, compute);
  t5Graph(t5.source, t5.config, compute);
  clipGraph(clip.source, clip.config, compute);
  // Tables of tokens are read by rows, beside the graphs.
  t5.source.rows('shared.weight', []);
  clip.source.rows('embeddings.token_embedding.weight', []);
  encoderGraph(autoencoder.source, autoencoder.config, compute);
  decoderGraph(autoencoder.source, autoencoder.config, compute);
  if (tiny) decoderTinyGraph(tiny.source, tiny.config, compute);
}
