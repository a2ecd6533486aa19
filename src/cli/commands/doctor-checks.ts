/** The checks of `retouch doctor`, one function per line of its report. Only `problem` makes the command fail. */

import { fork } from 'node:child_process';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { createServer } from 'node:net';
import { arch, cpus, platform, release } from 'node:os';
import { join } from 'node:path';
import { formatBytes } from '../../bytes.ts';
import { childEnvironment } from '../../child-environment.ts';
import { type Config, type EngineDevice, engineOptions } from '../../config.ts';
import type { DeviceName } from '../../engine/onnx/device.ts';
import type { AttentionShape, SelfTest } from '../../engine/onnx/self-test.ts';
import { deviceEnvironment } from '../../engine/process/device-environment.ts';
import { engineMemory } from '../../engine/process/device-memory.ts';
import { availableMemory, defaultMemoryLimit, defaultThreads } from '../../engine/process/limits.ts';
import { RetouchError } from '../../error.ts';
import { openFleet } from '../../fleet/open.ts';
import { Registry } from '../../fleet/registry.ts';
import { programBeside } from '../../program-beside.ts';
import { probeFolder } from '../../store/assets-fs.ts';
import { type Model, ModelStore, pathsOf } from '../../store/models.ts';
import { folderBytes } from '../terminal/models-table.ts';

export type Finding = {
  level: 'good' | 'warning' | 'problem';
  name: string;
  text: string;
};

const neededNode = 24;

export function checkNode(version = process.versions.node): Finding {
  const good = Number(version.split('.')[0]) >= neededNode;
  const text = good ? version : `${version}; expected ${neededNode} or newer`;
  return { level: good ? 'good' : 'problem', name: 'Node', text };
}

export async function checkProcessor(config: Config): Promise<Finding> {
  const threads = config.threads || defaultThreads();
  const model = cpus()[0]?.model.trim() ?? 'unknown';
  const features = await simdFeatures();
  const suffix = features.length > 0 ? `; ${features.join(' ')}` : '';
  const text = `${platform()} ${release()} ${arch()}; ${model}; ${threads} threads${suffix}`;
  return { level: 'good', name: 'Processor', text };
}

/** CPU features that ONNX Runtime has kernels for. */
const telling = ['avx2', 'avx512f', 'avx512_vnni', 'avx_vnni', 'amx_int8', 'asimd', 'asimddp', 'i8mm', 'sve'];

async function simdFeatures(): Promise<string[]> {
  // Only Linux reports CPU features without a native library.
  const text = await readFile('/proc/cpuinfo', 'utf8').catch(() => '');
  const words = new Set(/^(?:flags|Features)\s*:(.*)$/m.exec(text)?.[1]?.trim().split(/\s+/));
  return telling.filter((feature) => words.has(feature));
}

/** A line for each engine that the server would have. */
export function checkEngines(config: Config): Finding[] {
  const { devices } = engineOptions(config);
  const threads = Math.max(1, Math.floor((config.threads || defaultThreads()) / devices.length));
  return devices.map((each) => {
    const text = `${threads === 1 ? '1 thread' : `${threads} threads`}, ${formatBytes(memoryOf(each, config))}`;
    return { level: 'good', name: `Engine ${each.device}:${each.index}`, text };
  });
}

/** Bytes that the engine on a device may use. */
export function memoryOf(device: EngineDevice, config: Config): number {
  const { devices } = engineOptions(config);
  if (config.memoryLimit === 0) return engineMemory(device, devices.length);
  return Math.floor(config.memoryLimit / devices.length);
}

export function checkMemory(config: Config): Finding {
  const limit = config.memoryLimit || defaultMemoryLimit();
  const text = `${formatBytes(availableMemory())}; engines may use ${formatBytes(limit)}`;
  return { level: 'good', name: 'Memory', text };
}

export function checkRuntime(): Finding {
  try {
    // Reads only the version; the device tests load the library.
    const { version } = createRequire(import.meta.url)('onnxruntime-node/package.json');
    return { level: 'good', name: 'ONNX Runtime', text: version };
  } catch (error) {
    const text = `the package onnxruntime-node cannot be found: ${(error as Error).message.split('\n')[0]}`;
    return { level: 'problem', name: 'ONNX Runtime', text };
  }
}

/** The self-test of a device, or why there is none, and the line about it. */
export type DeviceCheck = { finding: Finding; test?: SelfTest };

/**
 * The devices of the configured engines must work; the others are reported for information.
 *
 * @param shapes of the installed models' attention
 */
export async function checkDevice(
  device: DeviceName,
  config: Config,
  shapes: readonly AttentionShape[] = [],
): Promise<DeviceCheck> {
  const test = await probeDevice(device, config, shapes);
  const finding = judgeDevice(device, config, test);
  return typeof test === 'string' ? { finding } : { finding, test };
}

function judgeDevice(device: DeviceName, config: Config, test: SelfTest | string): Finding {
  const name = `Device ${device}`;
  const isUsed = engineOptions(config).devices.some((used) => used.device === device);
  const failure = isUsed ? 'problem' : 'warning';
  if (typeof test === 'string') return { level: failure, name, text: test };
  const failed = test.report.filter(({ ok }) => !ok);
  const numbers = failed.map(({ operator, error, tolerance }) =>
    Number.isNaN(error) ? operator : `${operator} (error ${error.toExponential(1)}, at most ${tolerance})`,
  );
  if (!test.ok) {
    const reason = shorten(test.reason) ?? `wrong results from ${numbers.join(', ')}`;
    const hint = device === 'cuda' && test.report.length === 0 ? '; see the lines on CUDA above' : '';
    return { level: failure, name, text: `cannot be used: ${reason}${hint}` };
  }
  const passed = `${test.report.length - failed.length} of ${test.report.length} operators right`;
  const half = device === 'cpu' ? '' : `; ${halfText(test)}`;
  const plain = test.report.some(({ need, ok }) => !ok && /^(rotary|attention)/.test(need));
  const replaced = plain ? '; plain operators stand in for fused attention that is wrong' : '';
  const wrong = numbers.length > 0 ? `; wrong: ${numbers.join(', ')}` : '';
  return { level: 'good', name, text: `${passed}${half}${replaced}${wrong}` };
}

function halfText({ half, widened }: SelfTest): string {
  if (half) return 'f16 products';
  return widened ? 'f16 weights, products in f32' : 'no f16';
}

/** ONNX Runtime puts its source location before the sentence, and the driver's stack after it. */
function shorten(reason: string | undefined): string | undefined {
  const [line] = reason?.split('\n') ?? [];
  return line?.replace(/^.*\bwas false\. /, '').slice(0, 200);
}

/** The result, or why there is none. */
function probeDevice(
  device: DeviceName,
  config: Config,
  shapes: readonly AttentionShape[],
): Promise<SelfTest | string> {
  const index = engineOptions(config).devices.find((used) => used.device === device)?.index ?? 0;
  const child = fork(programBeside(import.meta.url, 'device-probe'), [device, JSON.stringify(shapes)], {
    execArgv: [],
    env: { ...childEnvironment(process.env), ...deviceEnvironment(device, index, process.env) },
    // NaN is the error of an operator that could not be tried, and JSON has none.
    serialization: 'advanced',
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  let errors = '';
  child.stderr?.on('data', (chunk) => (errors += chunk));
  return new Promise((resolve) => {
    child.on('message', (result: SelfTest) => resolve(result));
    child.on('error', (error) => resolve(`its test could not be started: ${error.message}`));
    child.on('close', (code, signal) => {
      const reason = /^\w*Error.*$/m.exec(errors)?.[0] ?? errors.trim().split('\n').at(-1) ?? '';
      resolve(`its test ended with ${signal ?? `exit code ${code}`}: ${reason.slice(0, 300)}`);
    });
  });
}

export function openStore(config: Config): Promise<ModelStore> {
  const cache = join(config.dataDir, 'cache');
  return ModelStore.scan({ models: config.modelsDir, cache, aliases: config.alias });
}

/** The attention of all installed models, as far as they can be opened. */
export async function shapesOf(store: ModelStore): Promise<AttentionShape[]> {
  const { openComponents } = await import('../../engine/networks/components.ts');
  const { attentionShapes, examinedShapes } = await import('../../engine/networks/attention-shapes.ts');
  const shapes: AttentionShape[] = [];
  for (const { source } of store.models)
    try {
      shapes.push(...examinedShapes(attentionShapes(await openComponents(source))));
    } catch (error) {
      // Its own line of the report says what is wrong with it.
      if (!(error instanceof RetouchError)) throw error;
    }
  return shapes;
}

/** @param test of the configured device, if it can be used */
export async function checkModels(
  config: Config,
  store: ModelStore,
  test: SelfTest | undefined,
): Promise<Finding[]> {
  const problems = store.problems.map((text): Finding => ({ level: 'warning', name: 'Model', text }));
  if (store.models.length === 0) {
    return [
      ...problems,
      { level: 'problem', name: 'Model', text: `none is installed in ${config.modelsDir}` },
    ];
  }
  const models: Finding[] = [];
  for (const model of store.models) models.push(...(await checkModel(model, config, test)));
  // One usable model is enough.
  const sound = models.some(({ level }) => level === 'good');
  const judged = models.map((found) =>
    sound && found.level === 'problem' ? { ...found, level: 'warning' as const } : found,
  );
  return [...judged, ...problems];
}

async function checkModel(model: Model, config: Config, test: SelfTest | undefined): Promise<Finding[]> {
  const { device } = config;
  const what = `${model.air} (${model.name}), ${formatBytes(await weightBytes(model))} in ${model.folder}`;
  try {
    const { openComponents } = await import('../../engine/networks/components.ts');
    const { precisionTable } = await import('./doctor-precisions.ts');
    const { checkComputable } = await import('../../engine/networks/check.ts');
    const components = await openComponents(model.source);
    checkComputable(components);
    if (!test?.ok) return [{ level: 'good', name: 'Model', text: what }];
    const { chosen, table } = await precisionTable(components, test, {
      precision: config.precision,
      threads: config.threads || defaultThreads(),
      memoryLimit: memoryOf({ device, index: config.deviceIndex }, config),
      folder: model.source.cacheFolder,
    });
    return [{ level: 'good', name: 'Model', text: `${what}; computed in ${chosen} on ${device}` }, ...table];
  } catch (error) {
    if (!(error instanceof RetouchError)) throw error;
    return [{ level: 'problem', name: 'Model', text: `${what}: ${error.message}` }];
  }
}

/** Follows the manifest, which may name files outside the model's folder. */
async function weightBytes(model: Model): Promise<number> {
  const sizes = await Promise.all([...new Set(pathsOf(model))].map((path) => folderBytes(path)));
  return sizes.reduce((sum, size) => sum + size, 0);
}

export async function checkDataFolder({ dataDir }: Config): Promise<Finding> {
  try {
    await probeFolder(join(dataDir, 'images'));
    return { level: 'good', name: 'Data', text: `${dataDir} can be written` };
  } catch (error) {
    return { level: 'problem', name: 'Data', text: (error as Error).message };
  }
}

/** A port in use is not a problem: most likely this server is running on it. */
export async function checkPort({ host, port }: Config): Promise<Finding> {
  const reason = await new Promise<string | undefined>((resolve) => {
    const server = createServer()
      .once('error', (error: NodeJS.ErrnoException) => resolve(error.code ?? error.message))
      .once('listening', () => server.close(() => resolve(undefined)))
      .listen(port, host);
  });
  const where = port === 0 ? `any free port of ${host}` : `${host}, port ${port}`;
  if (reason === undefined) return { level: 'good', name: 'Port', text: `${where}, is free` };
  const text = reason === 'EADDRINUSE' ? `${where}, is in use` : `${where}, cannot be listened on: ${reason}`;
  return { level: 'warning', name: 'Port', text };
}

/** Without --redis there is nothing to say. */
export async function checkFleet(config: Config): Promise<Finding[]> {
  if (config.redis === '') return [];
  try {
    const { connection, where } = await openFleet(config);
    const workers = await new Registry(connection).workers();
    connection.redis.disconnect();
    const engines = workers.reduce((sum, worker) => sum + worker.engines.length, 0);
    const text = `${where} answers; ${workers.length} workers with ${engines} engines`;
    return [{ level: workers.length > 0 ? 'good' : 'warning', name: 'Redis', text }];
  } catch (error) {
    if (!(error instanceof RetouchError)) throw error;
    return [{ level: 'problem', name: 'Redis', text: error.message }];
  }
}
