/** `retouch models prepare`: converts a model's weights before the first image asks for them. */

import { mkdir, statfs } from 'node:fs/promises';
import { setImmediate } from 'node:timers/promises';
import { formatBytes } from '../../bytes.ts';
import type { Config } from '../../config.ts';
import { EngineError } from '../../engine/errors.ts';
import type { Components } from '../../engine/networks/components.ts';
import type { Conversion } from '../../engine/networks/conversions.ts';
import type { PrecisionName } from '../../engine/plan.ts';
import { defaultThreads } from '../../engine/process/limits.ts';
import type { Model, ModelStore } from '../../store/models.ts';
import { formatDuration } from '../../tasks/forecast/progress-text.ts';
import { cliError } from '../flags/arguments.ts';
import { BytesProgress } from '../terminal/bytes-progress.ts';
import { listenForInterrupt } from '../terminal/interrupt.ts';
import { memoryOf } from './doctor-checks.ts';

const precisions = ['f32', 'f16', 'int8', 'int8-blocks', 'int4'] as const satisfies readonly PrecisionName[];

/** A conversion that is done stays when a later one is interrupted. */
export async function prepare(
  [air, ...more]: readonly string[],
  { json }: { json?: boolean },
  { store, config }: { store: ModelStore; config: Config },
): Promise<number> {
  if (air === undefined) throw cliError('argumentMissing', 'models prepare needs the AIR of a model.');
  if (more.length > 0)
    throw cliError('argumentUnexpected', `models prepare takes one AIR; found ${more.length + 1}.`);
  const model = store.find(air);
  if (!model) throw cliError('modelUnknown', store.explainMissing(air));
  const { precision, disk, conversions } = await examine(model, config);
  const missing = conversions.filter(({ bytes, isDone }) => bytes > 0 && !isDone);
  const answer = {
    air: model.air,
    precision,
    disk,
    files: conversions.filter(({ bytes }) => bytes > 0).map(({ file, bytes }) => ({ file, bytes })),
  };
  if (!json) console.log(describe(model, precision, disk));
  await checkRoom(missing, model.source.cacheFolder);
  const begin = performance.now();
  const exitCode = await convert(missing, config.threads || defaultThreads());
  if (exitCode !== 0) return exitCode;
  if (json) console.log(JSON.stringify(answer, null, 2));
  else if (missing.length === 0)
    console.log(
      answer.files.length === 0 ? 'Nothing has to be converted.' : 'Everything is converted already.',
    );
  else console.log(`Converted in ${formatDuration((performance.now() - begin) / 1000)}.`);
  return 0;
}

type Examined = {
  precision: PrecisionName;
  /** Bytes of the converted weights in each precision, beside the model's own files. */
  disk: Record<PrecisionName, number>;
  conversions: Conversion[];
};

async function examine({ source }: Model, config: Config): Promise<Examined> {
  const { openComponents } = await import('../../engine/networks/components.ts');
  const { conversionsOf } = await import('../../engine/networks/conversions.ts');
  const components = await openComponents(source);
  const chosen = await precisionOf(components, config, source.cacheFolder);
  const of = (name: PrecisionName) => conversionsOf(components, source.cacheFolder, name);
  const sizes = precisions.map((name) => [name, of(name).reduce((sum, { bytes }) => sum + bytes, 0)]);
  return { precision: chosen, disk: Object.fromEntries(sizes), conversions: of(chosen) };
}

async function precisionOf(components: Components, config: Config, folder: string): Promise<PrecisionName> {
  const { device, precision } = config;
  if (device === 'cpu' || precision !== 'auto') {
    const { choosePrecision } = await import('../../engine/networks/precision.ts');
    // The self-test of a device runs when the engine starts; a CPU's choice is by the model's width alone.
    const able = { half: false, widened: true, int8: device === 'cpu', blocks8: true, blocks4: true };
    const { hidden } = components.transformer.config;
    return choosePrecision({ device, precision }, { hidden, fits: () => true, times: {} }, able);
  }
  const { examineDevice } = await import('../../engine/onnx/self-test.ts');
  const { attentionShapes, examinedShapes } = await import('../../engine/networks/attention-shapes.ts');
  const { precisionTable } = await import('./doctor-precisions.ts');
  const threads = config.threads || defaultThreads();
  const test = await examineDevice(device, { threads, shapes: examinedShapes(attentionShapes(components)) });
  const memoryLimit = memoryOf({ device, index: config.deviceIndex }, config);
  const { chosen } = await precisionTable(components, test, { precision, threads, memoryLimit, folder });
  return chosen;
}

function describe({ air, source }: Model, precision: PrecisionName, disk: Examined['disk']): string {
  const sizes = Object.entries(disk).map(
    ([name, bytes]) => `${name} ${bytes === 0 ? 'none' : formatBytes(bytes)}`,
  );
  return `${air} in ${precision}. Disk for converted weights in ${source.cacheFolder}: ${sizes.join(', ')}.`;
}

/** All files together, so that none is made in vain. */
async function checkRoom(missing: readonly Conversion[], folder: string): Promise<void> {
  const needed = missing.reduce((sum, { bytes }) => sum + bytes, 0);
  if (needed === 0) return;
  await mkdir(folder, { recursive: true });
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  if (needed <= free) return;
  throw new EngineError(
    'cacheFull',
    `Converting ${missing.map(({ title }) => title).join(', ')} takes ${formatBytes(needed)} of disk, and ${folder} has ${formatBytes(free)} free. ` +
      'Make room there, choose a precision that takes less, or move the models directory to a larger disk (--models-dir).',
    { path: folder, needed, free },
  );
}

/** Status of the command: 0, or that of an interrupt. */
async function convert(conversions: readonly Conversion[], threads: number): Promise<number> {
  const total = conversions.reduce((sum, { bytes }) => sum + bytes, 0);
  const progress = new BytesProgress(process.stderr, { label: 'Converting', total });
  const interrupt = listenForInterrupt();
  try {
    for (const { title, make } of conversions)
      for await (const { done } of make(threads)) {
        progress.report(title, done);
        // Lets a signal in: without other threads, converting a layer blocks this one.
        await setImmediate();
        if (interrupt.signal.aborted) return interrupt.exitCode;
      }
    return 0;
  } finally {
    if (total > 0) progress.end();
    interrupt.end();
    if (interrupt.signal.aborted) console.error('Stopped; files that were complete are kept.');
  }
}
