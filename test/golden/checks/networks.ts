/** The autoencoder and the text encoders against the reference implementations. */
import { scaleLatent, unscaleLatent } from '../../../src/engine/latents/packing.ts';
import { decoderGraph, encoderGraph, type Probe } from '../../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../../src/engine/models/autoencoder-config.ts';
import { clipConfig, clipFeeds, clipGraph } from '../../../src/engine/models/clip.ts';
import { relativeBuckets, t5Config, t5Feeds, t5Graph } from '../../../src/engine/models/t5.ts';
import type { DeviceName } from '../../../src/engine/onnx/device.ts';
import type { Graph } from '../../../src/engine/onnx/graph.ts';
import { Session } from '../../../src/engine/onnx/session.ts';
import { f32Tensor, floats, type Tensor } from '../../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../../src/engine/weights/dialects/autoencoder.ts';
import { clipDialects } from '../../../src/engine/weights/dialects/clip.ts';
import { t5Dialects } from '../../../src/engine/weights/dialects/t5.ts';
import { WeightSource } from '../../../src/engine/weights/source.ts';
import { block } from '../tolerance.ts';
import { compared, type Lines, Tensors } from './check.ts';

type Setup = { device: DeviceName; fused: boolean; tolerance: number };
const onCpu: Setup = { device: 'cpu', fused: true, tolerance: block };

async function runOnce(
  graph: Graph,
  feeds: Record<string, Tensor>,
  { device }: Setup,
): Promise<Record<string, Tensor>> {
  const session = await Session.compile(graph, { device, threads: 1 });
  const results = await session.run(feeds);
  await session.release();
  return results;
}

export async function* checkAutoencoder(file: string, ioFile: string, label: string, setup = onCpu): Lines {
  const compute = { precision: 'f32', fused: setup.fused } as const;
  const io = new Tensors(ioFile);
  const source = new WeightSource(openCheckpoint(file), autoencoderDialects);
  const config = autoencoderConfig(source);
  const outputs =
    (side: string) =>
    (graph: Graph): Probe =>
    (name, value) =>
      graph.output(`act.${side}.${name}`, value);
  const activations = function* (results: Record<string, Tensor>) {
    for (const [name, value] of Object.entries(results))
      if (io.has(name)) yield compared(`${label} ${name}`, floats(value), io.floats(name), setup.tolerance);
  };

  const image = f32Tensor(io.floats('image'), io.shape('image'));
  const encoded = await runOnce(encoderGraph(source, config, compute, outputs('enc')), { image }, setup);
  yield* activations(encoded);
  const moments = floats(encoded.moments!);
  const latent = scaleLatent(moments.subarray(0, moments.length / 2), config);
  if (io.has('latent')) yield compared(`${label} latent`, latent, io.floats('latent'), setup.tolerance);

  const asked = io.has('decoder_latent') ? 'decoder_latent' : 'latent';
  const stored = io.floats(asked);
  const given = asked === 'latent' ? unscaleLatent(stored, config) : stored;
  const decoded = await runOnce(
    decoderGraph(source, config, compute, outputs('dec')),
    { latent: f32Tensor(given, io.shape(asked)) },
    setup,
  );
  const { image: picture, ...rest } = decoded;
  yield* activations(rest);
  yield compared(`${label} decoded`, floats(picture!), io.floats('decoded'), setup.tolerance);
}

export async function* checkClip(file: string, ioFile: string, label: string, setup = onCpu): Lines {
  const compute = { precision: 'f32', fused: setup.fused } as const;
  const io = new Tensors(ioFile);
  const source = new WeightSource(openCheckpoint(file), clipDialects);
  const config = clipConfig(source);
  const results = await runOnce(
    clipGraph(source, config, compute),
    clipFeeds(source, config, io.integers('input_ids')),
    setup,
  );
  yield compared(
    `${label} last_hidden_state`,
    floats(results.last_hidden_state!),
    io.floats('last_hidden_state'),
    setup.tolerance,
  );
  yield compared(
    `${label} pooler_output`,
    floats(results.pooled!),
    io.floats('pooler_output'),
    setup.tolerance,
  );
}

export async function* checkT5(file: string, ioFile: string, label: string, setup = onCpu): Lines {
  const compute = { precision: 'f32', fused: setup.fused } as const;
  const io = new Tensors(ioFile);
  const source = new WeightSource(openCheckpoint(file), t5Dialects);
  const config = t5Config(source);
  for (const name of io.names) {
    const [, length, row] = name.match(/^buckets(\d+)_row(\d+)$/) ?? [];
    if (!length) continue;
    const [count, at] = [Number(length), Number(row)];
    const found = Array.from(relativeBuckets(count, config).slice(at * count, (at + 1) * count), Number);
    yield compared(`${label} ${name}`, found, io.integers(name), 0);
  }
  const results = await runOnce(
    t5Graph(source, config, compute),
    t5Feeds(source, config, io.integers('input_ids')),
    setup,
  );
  yield compared(
    `${label} last_hidden_state`,
    floats(results.last_hidden_state!),
    io.floats('last_hidden_state'),
    setup.tolerance,
  );
}
