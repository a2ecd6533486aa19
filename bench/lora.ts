/**
 * The cost per step of a LoRA of rank 16 on every layer of every block, for a real-width transformer of one double and two
 * single blocks and for the embedded model. `fused`: one A per fused layer, as in kohya's and ComfyUI's files; `cut`: one A
 * each for q, k, v and the MLP, as in diffusers' files.
 */
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { layerFeed } from '../src/engine/adapters/lora/feed.ts';
import { type FluxConfig, fluxConfig } from '../src/engine/models/flux-config.ts';
import { segmentBuilder, segmentNames } from '../src/engine/models/flux-segments.ts';
import { Transformer } from '../src/engine/networks/transformer.ts';
import type { LinearLayer } from '../src/engine/onnx/graph.ts';
import type { Feeds } from '../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../src/engine/weights/dialects/flux.ts';
import { WeightSource } from '../src/engine/weights/source.ts';
import { conditioning, finish, pattern, textTokens } from './layers.ts';
import { type Options, type Row, round } from './measure.ts';
import { blockOperations, syntheticFlux } from './widths.ts';

const rank = 16;
const embedded = fileURLToPath(new URL('../model/transformer', import.meta.url));

type Kind = 'fused' | 'cut';
/** Tokens on a side of the target and of its one reference, and of text. */
type Size = { side: number; text: number };

/** Token counts of FLUX.1 at 256×256 and of the embedded model at 1024×1024. */
const quarter: Size = { side: 16, text: textTokens };
const own: Size = { side: 8, text: 24 };

/** Operations in a millisecond of a step in f32, by model, and by model and tokens. */
const speeds = new Map<string, number>();

export async function lora(options: Options): Promise<Row[]> {
  const synthetic = syntheticFlux(1, 2);
  const small = new WeightSource(openCheckpoint(embedded), fluxDialects);
  const rows: Row[] = [];
  const model = { source: small, config: fluxConfig(small) };
  for (const precision of ['f32', 'int8'] as const)
    rows.push(...(await measure('embedded', model, precision, [own, quarter], synthetic.folder, options)));
  rows.push(...(await measure('real width', synthetic, 'f32', [quarter], synthetic.folder, options)));
  rows.push(
    ...(await measure(
      'real width',
      synthetic,
      'int8',
      [quarter, { side: 32, text: textTokens }],
      synthetic.folder,
      options,
    )),
  );
  return rows;
}

export async function measure(
  model: string,
  { source, config }: { source: WeightSource; config: FluxConfig },
  precision: 'f32' | 'int8',
  sizes: Size[],
  folder: string,
  options: Options,
): Promise<Row[]> {
  const build = segmentBuilder(source, config);
  const slots = segmentNames(config).flatMap(
    (name) => build(name, { precision: 'f32', fused: true }).linears,
  );
  const transformer = await finish(
    Transformer.load(
      { source, config },
      { precision, fused: true },
      {
        device: 'cpu',
        threads: options.threads,
        preparedFile: path.join(folder, `lora-${model.replace(' ', '-')}-int8.safetensors`),
      },
    ),
  );
  const feeds = { none: {}, fused: feedsOf(slots, 'fused'), cut: feedsOf(slots, 'cut') };
  const rows: Row[] = [];
  for (const { side, text } of sizes) {
    const grid = { rows: side, columns: side };
    const given = conditioning(grid, config, text);
    const x = pattern(grid.rows * grid.columns * config.inChannels);
    const times = await interleaved(
      feeds,
      model === 'embedded' ? 10 * options.runs : options.runs,
      (updates) => transformer.velocity({ x, time: 500 }, given, { updates }),
    );
    const tokens = text + 2 * grid.rows * grid.columns;
    const base = (config.depth + config.depthSingle) * blockOperations(config, tokens);
    // A and B are multiplied in f32 at every precision, so the prediction uses the measured f32 speed.
    if (precision === 'f32')
      for (const key of [model, `${model} ${tokens}`]) speeds.set(key, base / times.none);
    const speed = speeds.get(`${model} ${tokens}`) ?? speeds.get(model)!;
    const predicted = (extra: number) => round((100 * extra) / speed / times.none, 1);
    for (const kind of ['fused', 'cut'] as const)
      rows.push({
        model,
        precision,
        tokens,
        file: kind,
        'ms/step (processor)': round(times.none, 1),
        'with LoRA': round(times[kind], 1),
        'cost %': round((100 * (times[kind] - times.none)) / times.none, 1),
        'predicted %': predicted(operations(slots, kind, tokens, text)),
      });
  }
  await transformer.release();
  return rows;
}

/**
 * Minimum processor time of each in milliseconds, measured in turns. Other load disturbs processor time less than wall time;
 * with one thread on an idle machine the two are equal.
 */
async function interleaved<Name extends string>(
  feeds: Record<Name, Feeds>,
  runs: number,
  work: (updates: Feeds) => Promise<unknown>,
): Promise<Record<Name, number>> {
  const best = Object.fromEntries(Object.keys(feeds).map((name) => [name, Number.POSITIVE_INFINITY]));
  for (let run = 0; run <= runs; run++)
    for (const [name, updates] of Object.entries(feeds) as [Name, Feeds][]) {
      const begin = process.cpuUsage();
      await work(updates);
      const { user, system } = process.cpuUsage(begin);
      // The first run of each is a warm-up.
      if (run > 0) best[name] = Math.min(best[name]!, (user + system) / 1000);
    }
  return best as Record<Name, number>;
}

const inBlock = ({ name }: LinearLayer) => name.includes('_blocks.');

function feedsOf(slots: readonly LinearLayer[], kind: Kind): Feeds {
  const feeds = slots.filter(inBlock).map((slot) => {
    const small = (length: number) => pattern(length).map((value) => 0.01 * value);
    const shared = { rank, values: small(slot.inputs * rank) };
    const parts = slot.parts.map((size) => ({
      a: kind === 'cut' ? { ...shared } : shared,
      b: small(rank * size),
    }));
    return layerFeed([
      { layer: { slot, parts, gain: undefined, inputGains: [], kroneckers: [] }, weight: 1 },
    ]);
  });
  return Object.assign({}, ...feeds);
}

/** Multiplications and additions of x·A·B over the tokens that each layer sees, and of adding the result. */
function operations(slots: readonly LinearLayer[], kind: Kind, tokens: number, text: number): number {
  return slots.filter(inBlock).reduce((sum, slot) => {
    const { name, inputs, outputs, parts } = slot;
    const seen = /mod\.lin$|modulation\.lin$/.test(name)
      ? 1
      : name.includes('.txt_')
        ? text
        : name.includes('.img_')
          ? tokens - text
          : tokens;
    const products = kind === 'cut' ? parts.length : 1;
    return sum + seen * (2 * rank * (products * inputs + outputs) + outputs);
  }, 0);
}
