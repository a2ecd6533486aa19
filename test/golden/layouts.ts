/** The pipeline's small checkpoint in the other layouts that checkpoints come in, made by copying tensors' bytes. */
import fs from 'node:fs';
import path from 'node:path';
import { decoderGraph, encoderGraph } from '../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../src/engine/models/autoencoder-config.ts';
import { clipConfig, clipGraph } from '../../src/engine/models/clip.ts';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { t5Config, t5Graph } from '../../src/engine/models/t5.ts';
import { openComponents } from '../../src/engine/networks/components.ts';
import type { ModelSource } from '../../src/engine/plan.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import type { TensorEntry } from '../../src/engine/weights/stored.ts';
import { readBytes } from '../../src/engine/weights/stored.ts';
import { traceGraph } from './flux-trace.ts';

const compute = { precision: 'f32', fused: true } as const;

/** The diffusers folder `from` with its sharded transformer in one file. */
export function writeUnsharded(from: string, to: string): void {
  fs.cpSync(from, to, { recursive: true });
  const folder = path.join(to, 'transformer');
  const { tensors } = openCheckpoint(path.join(from, 'transformer'));
  for (const name of fs.readdirSync(folder)) if (name !== 'config.json') fs.rmSync(path.join(folder, name));
  const parts = [...tensors].map(([name, entry]): [string, TensorEntry[]] => [name, [entry]]);
  writeTensors(path.join(folder, 'diffusion_pytorch_model.safetensors'), parts, {});
}

type Network = 'transformer' | 'autoencoder' | 'clip' | 't5';
type Recorded = { tensors: Map<string, TensorEntry[]>; metadata: Record<string, string> };

/** Single files in the names of black-forest-labs/flux and transformers, as ComfyUI wants them. */
export async function writeSplit(from: string, to: string): Promise<ModelSource['files']> {
  const names = { transformer: 'flux', autoencoder: 'ae', clip: 'clip_l', t5: 't5xxl' };
  const networks = await record(from);
  const write = (network: Network) => {
    const file = path.join(to, `${names[network]}.safetensors`);
    writeTensors(file, networks[network].tensors, networks[network].metadata);
    return file;
  };
  return {
    layout: 'split',
    transformer: write('transformer'),
    autoencoder: write('autoencoder'),
    clip: write('clip'),
    t5: write('t5'),
    ...tokenizers(from),
  };
}

/** One file of all networks, each under the prefix that ComfyUI saves it with. */
export async function writeAllInOne(from: string, to: string): Promise<ModelSource['files']> {
  const prefixes = {
    transformer: 'model.diffusion_model.',
    autoencoder: 'vae.',
    clip: 'text_encoders.clip_l.transformer.text_model.',
    t5: 'text_encoders.t5xxl.transformer.',
  };
  const networks = await record(from);
  const file = path.join(to, 'all-in-one.safetensors');
  const tensors = Object.entries(networks).flatMap(([network, { tensors }]) =>
    [...tensors].map(([name, parts]): [string, TensorEntry[]] => [
      prefixes[network as Network] + name,
      parts,
    ]),
  );
  writeTensors(file, tensors, Object.assign({}, ...Object.values(networks).map(({ metadata }) => metadata)));
  return { layout: 'split', transformer: file, autoencoder: file, clip: file, t5: file, ...tokenizers(from) };
}

function tokenizers(from: string) {
  return { tokenizer: path.join(from, 'tokenizer'), tokenizer2: path.join(from, 'tokenizer_2') };
}

async function record(from: string): Promise<Record<Network, Recorded>> {
  const files = { layout: 'diffusers', folder: from } as const;
  const { transformer, autoencoder, clip, t5 } = await openComponents({
    air: 'split',
    files,
    cacheFolder: '',
  });
  const ask = (key: string, { checkpoint, dialect }: WeightSource, ask: Ask): Recorded => {
    const source = new RecordingSource(checkpoint, [dialect]);
    ask(source);
    const config = { ...checkpoint.config, axes_dim: checkpoint.config.axes_dims_rope };
    return { tensors: source.asked, metadata: { [key]: JSON.stringify(config) } };
  };
  return {
    transformer: ask('flux_params', transformer.source, (w) => traceGraph(w, fluxConfig(w), compute)),
    autoencoder: ask('ae_config', autoencoder.source, (w) => {
      encoderGraph(w, autoencoderConfig(w), compute);
      decoderGraph(w, autoencoderConfig(w), compute);
    }),
    clip: ask('clip_config', clip.source, (w) => {
      clipGraph(w, clipConfig(w), compute);
      w.parts('embeddings.token_embedding.weight');
    }),
    t5: ask('t5_config', t5.source, (w) => {
      t5Graph(w, t5Config(w), compute);
      w.parts('shared.weight');
    }),
  };
}

type Ask = (source: WeightSource) => void;

/** The tensors that a network reads while it is built, under BFL's names: the required content of its file. */
class RecordingSource extends WeightSource {
  readonly asked = new Map<string, TensorEntry[]>();

  override parts(name: string): TensorEntry[] {
    const parts = super.parts(name);
    this.asked.set(name, parts);
    return parts;
  }
}

/** Tensors of parts joined along the first axis. */
function writeTensors(
  file: string,
  tensors: Iterable<[string, TensorEntry[]]>,
  metadata: Record<string, string>,
): void {
  const header: Record<string, unknown> = { __metadata__: metadata };
  const bytes: Buffer[] = [];
  let end = 0;
  for (const [name, parts] of tensors) {
    const rows = parts.reduce((sum, { shape }) => sum + shape[0]!, 0);
    const begin = end;
    for (const part of parts) {
      bytes.push(readBytes(part));
      end += part.length;
    }
    const { dtype, shape } = parts[0]!;
    header[name] = { dtype, shape: [rows, ...shape.slice(1)], data_offsets: [begin, end] };
  }
  const text = Buffer.from(JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(text.length));
  fs.writeFileSync(file, Buffer.concat([length, text, ...bytes]));
}
