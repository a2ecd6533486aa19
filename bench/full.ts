/**
 * A model of the real size through the whole product: `npm run bench -- full DIR`, where DIR is what bench/full-size.ts
 * wrote. models add, models prepare, text to image and an edit, each of them twice, each phase with its time, processor time
 * and memory beside what the product predicts. Converted weights are written into DIR,
 * and used again with `--converted`. `--image` names the images that are made, `--pictures` the folder that they are written to.
 */
import { execFile } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { referenceSize } from '../src/engine/image/sizes.ts';
import { imageDecoder, imageEncoder } from '../src/engine/networks/autoencoder.ts';
import { type OpenedModel, openModelFiles } from '../src/engine/networks/opened-model.ts';
import { textEncoder } from '../src/engine/networks/text-encoder.ts';
import { imageTokens, textTokens } from '../src/engine/networks/token-counts.ts';
import { transformer } from '../src/engine/networks/transformer.ts';
import { processBytes } from '../src/engine/pipeline/kontext.ts';
import {
  type EngineEvent,
  type Plan,
  type PrecisionName,
  plainNumerics,
  plainPlan,
} from '../src/engine/plan.ts';
import { EngineHost } from '../src/engine/process/host.ts';
import { defaultMemoryLimit } from '../src/engine/process/limits.ts';
import { ModelStore } from '../src/store/models.ts';
import { type Options, type Row, round } from './measure.ts';
import { type Phase, Phases } from './phases.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const air = 'bench:full@1';

export type FullOptions = {
  folder: string;
  threads: number;
  precision: PrecisionName;
  /** Pixels of the image's side. */
  side: number;
  steps: number;
  /** Bytes. */
  memoryLimit: number;
  /** Whether the weights that an earlier run converted are used. */
  converted: boolean;
  /** The images that are made; an edit's reference is fitted to a megapixel, whatever the image's side. */
  images: readonly FullImage[];
  /** Every k-th step computes the reference's tokens; undefined computes them in every step. */
  referenceInterval?: number;
  /** Where the images are written. */
  pictures?: string;
};

/** In their order; the second of a kind finds the networks that the first one left. */
export const fullImages = ['text to image', 'text to image again', 'edit', 'edit again'] as const;
export type FullImage = (typeof fullImages)[number];

export type FullRun = { name: string; phases: Phase[]; predicted: number | undefined };

export async function full({ threads, rest, full }: Options): Promise<Row[]> {
  const memoryLimit = full.memoryLimit || defaultMemoryLimit();
  const runs = await runFull({ ...full, folder: path.resolve(rest[0]!), threads, memoryLimit });
  return runs.flatMap(({ name, phases, predicted }) =>
    phases.map((phase) => ({
      run: name,
      phase: phase.name,
      s: round(phase.seconds, 1),
      'processor s': round(phase.processor, 1),
      'peak MiB': round(phase.peak / 2 ** 20),
      'mapped MiB': round(phase.mapped / 2 ** 20),
      'rest MiB': round(phase.rest / 2 ** 20),
      'predicted MiB': predicted === undefined ? '' : round(predicted / 2 ** 20),
    })),
  );
}

export async function runFull(options: FullOptions): Promise<FullRun[]> {
  const { folder, precision, threads, memoryLimit, converted } = options;
  const data = path.join(folder, 'bench-data');
  const runs: FullRun[] = [];
  const names = fs.readdirSync(folder).filter((name) => /\.(safetensors|gguf)$|^tokenizer/.test(name));
  const paths = fs.existsSync(path.join(folder, 'model_index.json'))
    ? [folder]
    : names.map((name) => path.join(folder, name));
  const environment = { ...process.env, RETOUCH_DATA_DIR: data };
  const command = async (name: string, words: string[]) => {
    const phases = new Phases(false);
    await promisify(execFile)(process.execPath, [path.join(root, 'bin/retouch.js'), ...words], {
      env: environment,
    });
    phases.close();
    tell(name, phases.end('all'));
    runs.push({ name, phases: phases.ended, predicted: undefined });
  };
  if (!converted) {
    fs.rmSync(path.join(data, 'models'), { recursive: true, force: true });
    const given = [...paths, '--air', air, '--license', 'none', '--name', 'full'];
    await command('models add', ['models', 'add', ...given]);
  }
  await command('models prepare', ['models', 'prepare', air, '--precision', precision]);

  const store = await ModelStore.scan({ models: path.join(data, 'models'), cache: path.join(data, 'cache') });
  const base: Plan = {
    ...plainPlan,
    ...{ model: store.find(air)!.source, prompt: 'a red fox', references: [], seed: 1n, guidance: 2.5 },
    ...{ width: options.side, height: options.side, steps: options.steps },
    numerics: { ...plainNumerics, precision },
    output: { format: 'png', quality: 95 },
  };
  const picture = fs.readFileSync(path.join(root, 'examples/scene-car.png'));
  const { referenceInterval } = options;
  const edit = {
    ...{ ...base, prompt: 'make it night', references: [picture] },
    ...(referenceInterval === undefined ? {} : { referenceInterval }),
  };
  const plans: Record<FullImage, Plan> = {
    'text to image': base,
    'text to image again': { ...base, prompt: 'a red car' },
    edit,
    'edit again': { ...edit, prompt: 'make it day' },
  };
  const host = new EngineHost({ threads, memoryLimit, log: () => {} });
  try {
    for (const name of options.images) {
      const { phases, image } = await measure(host, name, plans[name]);
      if (options.pictures) {
        fs.mkdirSync(options.pictures, { recursive: true });
        fs.writeFileSync(path.join(options.pictures, `${name.replaceAll(' ', '-')}.png`), image);
      }
      runs.push({ name, phases, predicted: undefined });
    }
  } finally {
    await host.close();
  }
  // Afterwards, since opening a model loads the runtime into this process.
  const predicted = await predictPeak(
    options.images.map((name) => plans[name]),
    options,
  );
  return runs.map((run) => (run.name.startsWith('models') ? run : { ...run, predicted }));
}

/** The descendants of this process are the engine alone; the server beside it takes about 100 MiB. */
async function measure(host: EngineHost, run: string, plan: Plan) {
  const phases = new Phases(false);
  let image: Uint8Array | undefined;
  try {
    for await (const event of host.run(plan)) {
      const name = phaseAfter(event);
      if (name) tell(run, phases.end(name));
      if (event.type === 'image') image = event.image.bytes;
    }
    return { phases: phases.ended, image: image! };
  } finally {
    phases.close();
  }
}

/** The whole takes an hour; the table comes at its end. */
function tell(run: string, { name, seconds, processor, peak }: Phase): void {
  const times = `${seconds.toFixed(1)} s, ${processor.toFixed(1)} processor s`;
  process.stderr.write(`${run}, ${name}: ${times}, peak ${Math.round(peak / 2 ** 20)} MiB\n`);
}

/** The phase that an event ends. */
function phaseAfter(event: EngineEvent): string | undefined {
  switch (event.type) {
    case 'load-end':
      return 'load';
    case 'encode-end':
      return 'encode';
    case 'step-end':
      return `step ${event.index + 1}`;
    case 'decode-end':
      return 'decode';
    default:
      return undefined;
  }
}

/**
 * Bytes of the engine at most, by what the product counts for each network: all networks stay where they fit together,
 * otherwise the limit holds.
 */
async function predictPeak(plans: readonly Plan[], { threads, memoryLimit }: FullOptions): Promise<number> {
  const { model, numerics } = plans[0]!;
  const opened = await openModelFiles(model, numerics, { threads, memoryLimit });
  const all = plans.flatMap((plan) => needsOf(opened, plan));
  const weights = new Map(all.map(({ key, need }) => [key, need.bytes]));
  const working = Math.max(...all.map(({ need }) => need.working));
  const whole = [...weights.values()].reduce((sum, bytes) => sum + bytes, 0) + working + processBytes;
  return Math.min(whole, memoryLimit);
}

function needsOf(opened: OpenedModel, plan: Plan) {
  const { components } = opened;
  const own = imageTokens(components, plan);
  const reference = plan.references.length * imageTokens(components, referenceSize);
  const tokens = textTokens(components) + own + reference;
  const use = {
    ...{ places: [], forms: new Map(), imagePromptTokens: 0, updateBytes: 0, cachedPasses: 0 },
    keptReferences: plan.referenceInterval === undefined ? 0 : reference,
    keepsReferences: plan.referenceInterval !== undefined,
  };
  const encoder = plan.references.length > 0 ? [imageEncoder(opened, referenceSize)] : [];
  const decoder = imageDecoder(opened, plan, plan.decoder);
  return [textEncoder(opened, new Map()), ...encoder, decoder, transformer(opened, { ...use, tokens })];
}
