import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';
import { decoderGraph, encoderGraph } from '../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../src/engine/models/autoencoder-config.ts';
import { clipConfig, clipFeeds, clipGraph } from '../../src/engine/models/clip.ts';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { segmentBuilder, segmentNames } from '../../src/engine/models/flux-segments.ts';
import { t5Config, t5Feeds, t5Graph } from '../../src/engine/models/t5.ts';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { clipDialects } from '../../src/engine/weights/dialects/clip.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import type { Dialect } from '../../src/engine/weights/dialects/index.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import type { TensorEntry } from '../../src/engine/weights/stored.ts';
import type { Compute } from '../../src/engine/weights/weights.ts';
import { RetouchError } from '../../src/error.ts';

const compute: Compute = { precision: 'f32', fused: true };
const model = fileURLToPath(new URL('../../model', import.meta.url));

/** Builds every graph of a network, which looks up every tensor and reads none. */
type Network = { folder: string; dialects: readonly Dialect[]; build(source: WeightSource): void };

const networks: Readonly<Record<string, Network>> = {
  transformer: {
    folder: 'transformer',
    dialects: fluxDialects,
    build(source) {
      const config = fluxConfig(source);
      const build = segmentBuilder(source, config);
      for (const name of segmentNames(config)) build(name, compute);
    },
  },
  autoencoder: {
    folder: 'vae',
    dialects: autoencoderDialects,
    build(source) {
      const config = autoencoderConfig(source);
      encoderGraph(source, config, compute);
      decoderGraph(source, config, compute);
    },
  },
  CLIP: {
    folder: 'text_encoder',
    dialects: clipDialects,
    build(source) {
      const config = clipConfig(source);
      clipFeeds(source, config, new Int32Array(config.positions));
      clipGraph(source, config, compute);
    },
  },
  T5: {
    folder: 'text_encoder_2',
    dialects: t5Dialects,
    build(source) {
      const config = t5Config(source);
      t5Feeds(source, config, new Int32Array(4));
      t5Graph(source, config, compute);
    },
  },
};

function faultOf({ dialects, build }: Network, checkpoint: Checkpoint): unknown {
  try {
    build(new WeightSource(checkpoint, dialects));
    return 'none';
  } catch (error) {
    return error;
  }
}

function withTensors(
  checkpoint: Checkpoint,
  tensors: ReadonlyMap<string, TensorEntry>,
  config = {},
): Checkpoint {
  return new Checkpoint(checkpoint.path, tensors, checkpoint.metadata, config);
}

describe.each(Object.entries(networks))('a checkpoint of the %s', (_name, network) => {
  const whole = openCheckpoint(join(model, network.folder));
  // The embedded model's reader of instructions is beside CLIP's graph: see unit/instruction-head.test.ts.
  const names = [...whole.tensors.keys()].filter((name) => !name.includes('instruction_head'));

  it('that is whole is accepted', () => {
    expect(faultOf(network, whole)).toBe('none');
  });

  it('that lacks a tensor, whichever it is, is refused by that tensor’s name', () => {
    const accepted = names.filter((name) => {
      const tensors = new Map(whole.tensors);
      tensors.delete(name);
      const fault = faultOf(network, withTensors(whole, tensors, whole.config));
      return !(fault instanceof RetouchError && fault.message.includes(name));
    });
    expect(accepted).toEqual([]);
  });

  it('with a tensor of another shape, whichever it is, is refused', () => {
    const accepted = names.filter((name) => {
      const entry = whole.tensors.get(name)!;
      const [first = 1, ...rest] = entry.shape;
      const shape = rest.length === 0 ? [first / 2, 2] : [first * 2, rest[0]! / 2, ...rest.slice(1)];
      const tensors = new Map(whole.tensors).set(name, { ...entry, shape });
      return !(faultOf(network, withTensors(whole, tensors, whole.config)) instanceof RetouchError);
    });
    expect(accepted).toEqual([]);
  });
});

it('a missing last block is noticed where config.json tells how many there are', () => {
  const whole = openCheckpoint(join(model, 'transformer'));
  const last = [...whole.tensors].filter(([name]) => !name.startsWith('single_transformer_blocks.3.'));
  const checkpoint = withTensors(whole, new Map(last), whole.config);
  expect(faultOf(networks.transformer!, checkpoint)).toMatchObject({
    code: 'tensorMissing',
    message: expect.stringContaining('no tensor single_transformer_blocks.3.'),
  });
});
