/**
 * Every setting of the server: from `RETOUCH_DATA_DIR` in the environment or `--data-dir` on the command line, which
 * wins. One table declares all settings.
 */

import { homedir } from 'node:os';
import { join, resolve } from 'node:path';
import { RetouchError } from './error.ts';
import { readRedisUrl, redisUrlForm } from './fleet/redis-url.ts';
import type { LogLevel } from './log.ts';
import { nearest } from './nearest.ts';

export const configErrors = {
  homeMissing: 'The user has no home directory for the data directory.',
  keysRequired: 'An address beyond this machine needs API keys.',
  settingInvalid: 'The value of a setting cannot be used.',
  settingUnknown: 'There is no such setting.',
} as const;

const MiB = 2 ** 20;
/** The largest images that the engine decodes. */
const maxPixels = 64 * MiB;
const logLevels = ['debug', 'info', 'warn', 'error'] as const satisfies readonly LogLevel[];
const webhookBodies = ['wrapped', 'flat'] as const;
const referenceIds = ['offset', 'index'] as const;
const precisions = ['auto', 'f32', 'f16', 'int8', 'int8-blocks', 'int4'] as const;

const devices = ['cpu', 'webgpu', 'cuda'] as const;
const deviceNames = 'cpu, webgpu or cuda';

/** One of several devices of a kind. */
export type EngineDevice = { device: (typeof devices)[number]; index: number };

/** `read` returns undefined for invalid text; `expected` describes valid text. */
type Setting<T> = { about: string; expected: string; initial: T; read(text: string): T | undefined };

/** Name on the command line → setting. The environment variable is RETOUCH_ and the name in capitals. */
export const settings = {
  host: text('127.0.0.1', 'Address to listen on; beyond this machine only with API keys.'),
  port: integer(7100, 0, 65535, 'Port to listen on; 0 takes any free one.'),
  'data-dir': text('', 'Folder of stored pictures and caches; .retouch in the home directory by default.'),
  'models-dir': text('', 'Folder with a folder per model; models in the data directory by default.'),
  'public-url': address(
    'Start of image URLs when a proxy hides this server; the host of each request by default.',
  ),
  'api-keys': list('API keys, comma-separated; none are needed on this machine.'),
  'allow-private-network': {
    about: 'Whether pictures may be fetched from private addresses: 1, 0 or a list of host names.',
    expected: '1, 0 or host names separated by commas',
    initial: false as boolean | string[],
    read: (value) => readFlag(value) ?? readList(value.toLowerCase()),
  } satisfies Setting<boolean | string[]>,
  alias: {
    about: 'requested=installed: uses an installed model for the id of another; may be repeated.',
    expected: 'pairs such as runware:106@1=retouch:mini@1, separated by commas',
    initial: {} as Record<string, string>,
    read: readAliases,
  } satisfies Setting<Record<string, string>>,
  device: {
    about: 'Where the model runs: cpu, webgpu or cuda; cuda:1 and webgpu:1 are the second GPU.',
    expected: `${deviceNames}, with a number (cuda:1) where there are several`,
    initial: 'cpu',
    read: (value) => (readDevices(value)?.length === 1 ? value : undefined),
  } satisfies Setting<string>,
  engines: integer(
    0,
    0,
    1024,
    'Engines that make images side by side on the device; 0 is one, or none on a server with --redis.',
  ),
  devices: {
    about: 'An engine for each of these devices, such as cpu,webgpu; takes the place of device and engines.',
    expected: `devices separated by commas, each once: ${deviceNames}, with a number (cpu:0) where there are several`,
    initial: [] as EngineDevice[],
    read: readDevices,
  } satisfies Setting<EngineDevice[]>,
  precision: choice(
    'auto',
    precisions,
    'Arithmetic of the model (auto, f32, f16, int8, int8-blocks or int4); auto is the best measured for the device.',
  ),
  redis: {
    about:
      'Redis over which workers on other machines make the images: redis://…, rediss://…, redis+sentinel://….',
    expected: redisUrlForm,
    initial: '',
    read: (value) => (readRedisUrl(value) ? value : undefined),
  } satisfies Setting<string>,
  'redis-prefix': text(
    'retouch',
    'Start of every key in Redis; servers and workers of one fleet have the same.',
  ),
  'worker-name': text('', 'Name of this server or worker for people; the host name by default.'),
  'transfer-limit': bytes(
    128 * MiB,
    'Largest plan with its pictures, and largest result, that goes through Redis.',
  ),
  'reference-ids': choice(
    'offset',
    referenceIds,
    'How several references are distinguished: by position (offset) or by index (index).',
  ),
  threads: integer(0, 0, 1024, 'Threads of all engines together; 0 is one per core.'),
  'memory-limit': bytes(
    0,
    'Memory that all engines together may use, such as 12GB; 0 is most of the machine.',
  ),
  'body-limit': bytes(64 * MiB, 'Largest request body.'),
  'unauthenticated-body-limit': bytes(
    MiB,
    'Largest request body without an API key in the header, and largest WebSocket message before its key is known.',
  ),
  'bodies-limit': bytes(256 * MiB, 'Bytes of all request bodies in memory together.'),
  'connection-limit': integer(
    0,
    0,
    100_000,
    'Most concurrent connections; 0 derives it from the limit of open files.',
  ),
  'picture-limit': bytes(32 * MiB, 'Largest input picture, decoded from base64 or fetched.'),
  'pixel-limit': integer(maxPixels, 1, maxPixels, 'Most pixels of an input picture.'),
  'batch-limit': integer(100, 1, 10_000, 'Most tasks in one request.'),
  'key-limit': integer(0, 0, 1_000_000, 'Most queued images of one API key; 0 is no limit.'),
  'key-storage': bytes(0, 'Most bytes of stored images of one API key; 0 is no limit.'),
  'queue-limit': integer(1000, 1, 1_000_000, 'Most queued images.'),
  'fetch-timeout': integer(10, 1, 600, 'Seconds for fetching a picture from its URL.'),
  'sync-timeout': integer(
    120,
    1,
    86_400,
    'Seconds that a request waits for its images; the task continues and can be polled.',
  ),
  retention: integer(30, 1, 36_500, 'Days that results and pictures are kept after their last use.'),
  's3-bucket': text(
    '',
    'Bucket for images, in S3 or a compatible service; without it images are files of the data directory. Its credentials are AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN.',
  ),
  's3-endpoint': address('Address of the storage, such as http://minio:9000; that of AWS by default.'),
  's3-region': text('', 'Region of the bucket; AWS_REGION by default, or us-east-1.'),
  's3-prefix': text(
    '',
    'Start of the keys in the bucket, such as retouch/; servers that share a bucket need one each.',
  ),
  's3-path-style': choice(
    'auto',
    ['auto', 'yes', 'no'],
    'Whether the bucket is in the path of a URL (yes) or in its host name (no); auto is yes with an endpoint.',
  ),
  's3-urls': choice(
    'front',
    ['front', 'presigned'],
    'How clients read images of the bucket: through this server, or by signed URLs that end after a week.',
  ),
  's3-public-url': address('Public address of the bucket, such as a CDN; image URLs begin with it.'),
  'webhook-secret': text('', 'Signs webhooks: X-Retouch-Signature is an HMAC-SHA256 under it.'),
  'webhook-body': choice('wrapped', webhookBodies, 'Webhooks as {"data":[…]} or as the item alone.'),
  'delivery-attempts': integer(10, 1, 100, 'Attempts of a webhook or upload before it is given up.'),
  'shutdown-timeout': integer(10, 0, 3600, 'Seconds that running work may take after a stop signal.'),
  'log-level': choice('info', logLevels, 'Lowest level that is logged.'),
} as const;

type SettingName = keyof typeof settings;
type Camel<S extends string> = S extends `${infer Head}-${infer Tail}`
  ? `${Head}${Capitalize<Camel<Tail>>}`
  : S;

/** `RETOUCH_DATA_DIR` and `--data-dir` are `dataDir` here. */
export type Config = Omit<Values, 'device'> & {
  /** The kind of the first engine's device, and which of them. */
  readonly device: EngineDevice['device'];
  readonly deviceIndex: number;
};

type Values = {
  readonly [Name in SettingName as Camel<Name>]: (typeof settings)[Name] extends Setting<infer T> ? T : never;
};

export type ConfigSources = {
  env: Readonly<Record<string, string | undefined>>;
  /** By name without dashes (`data-dir`); a repeated flag is an array, one without a value is true. */
  flags?: Readonly<Record<string, string | readonly string[] | boolean | undefined>>;
};

/** Throws `settingUnknown`, `settingInvalid`, `homeMissing`. */
export function loadConfig({ env, flags = {} }: ConfigSources): Config {
  refuseUnknown(env, flags);
  const values = Object.entries(settings).map(([name, setting]) => {
    const key = name.replace(/-(.)/g, (_, letter: string) => letter.toUpperCase());
    const flag = flags[name];
    if (flag !== undefined && flag !== false) return [key, readSetting(setting, textOf(flag), `--${name}`)];
    // Compose files and shells pass unset variables as empty strings.
    const variable = env[variableOf(name)];
    return [key, variable ? readSetting(setting, variable, variableOf(name)) : setting.initial];
  });
  const config = Object.fromEntries(values) as Values;
  const dataDir = config.dataDir === '' ? homeDataDir() : resolve(config.dataDir);
  refuseBoth(config);
  const modelsDir = config.modelsDir === '' ? join(dataDir, 'models') : resolve(config.modelsDir);
  const { device, index: deviceIndex } = config.devices[0] ?? readDevices(config.device)![0]!;
  const publicUrl = config.publicUrl.replace(/\/+$/, '');
  return { ...config, device, deviceIndex, dataDir, modelsDir, publicUrl };
}

/** Engines are said in one of two ways. Throws `settingInvalid`. */
function refuseBoth({ devices, engines }: Pick<Values, 'devices' | 'engines'>): void {
  if (devices.length === 0 || engines === 0) return;
  const message = 'Both --devices and --engines are given; expected one of the two.';
  throw new RetouchError('settingInvalid', message);
}

function homeDataDir(): string {
  try {
    return join(homedir(), '.retouch');
  } catch (cause) {
    // Without HOME, homedir() reads the user database, which need not list a container's user.
    const message =
      'This user has no home directory (HOME is not set, and the system knows no such user); set RETOUCH_DATA_DIR.';
    throw new RetouchError('homeMissing', message, {}, { cause });
  }
}

export function isLoopback(host: string): boolean {
  const name = host.replace(/^\[|\]$/g, '').toLowerCase();
  return name === 'localhost' || name === '::1' || /^127(\.\d{1,3}){3}$/.test(name);
}

export function variableOf(name: string): string {
  return `RETOUCH_${name.toUpperCase().replaceAll('-', '_')}`;
}

/** `storedKeys`: the number of keys in the database. Throws `keysRequired`. */
export function requireKeys({ host, apiKeys }: Config, storedKeys: number): void {
  if (apiKeys.length + storedKeys > 0 || isLoopback(host)) return;
  const message = `The host ${host} can be reached from other machines, and no API key is configured`;
  throw new RetouchError(
    'keysRequired',
    `${message}; make one with 'retouch keys add NAME', set RETOUCH_API_KEYS, or listen on 127.0.0.1.`,
  );
}

function refuseUnknown(env: ConfigSources['env'], flags: object): void {
  const names = Object.keys(settings);
  const variables = names.map(variableOf);
  const known = [...variables, ...names.map((name) => `--${name}`)];
  const given = Object.keys(env).filter((name) => name.startsWith('RETOUCH_'));
  for (const name of [...given, ...Object.keys(flags).map((flag) => `--${flag}`)]) {
    if (known.includes(name)) continue;
    const guess = nearest(
      name,
      name.startsWith('--') ? known.filter((other) => other.startsWith('--')) : variables,
    );
    const hint = guess === undefined ? `known are ${known.join(', ')}` : `did you mean ${guess}`;
    throw new RetouchError('settingUnknown', `There is no setting ${name}; ${hint}${guess ? '?' : '.'}`);
  }
}

function readSetting(setting: Setting<unknown>, value: string, name: string): unknown {
  const read = setting.read(value.trim());
  if (read !== undefined) return read;
  // Keys must not appear on a terminal or in a log.
  const found = /key|secret|redis$/i.test(name) ? 'unusable' : `'${value.slice(0, 100)}'`;
  throw new RetouchError('settingInvalid', `${name} is ${found}; expected ${setting.expected}.`);
}

function textOf(flag: string | readonly string[] | boolean): string {
  if (typeof flag === 'string') return flag;
  return typeof flag === 'boolean' ? '' : flag.join(',');
}

function text(initial: string, about: string): Setting<string> {
  return { about, initial, expected: 'text', read: (value) => value || undefined };
}

function address(about: string): Setting<string> {
  const read = (value: string) => (/^https?:$/.test(URL.parse(value)?.protocol ?? '') ? value : undefined);
  return { about, initial: '', expected: 'an http or https URL', read };
}

function integer(initial: number, min: number, max: number, about: string): Setting<number> {
  const read = (value: string) => {
    const number = Number(value);
    return /^\d+$/.test(value) && number >= min && number <= max ? number : undefined;
  };
  return { about, initial, expected: `an integer from ${min} to ${max}`, read };
}

function bytes(initial: number, about: string): Setting<number> {
  const units: Record<string, number> = { '': 1, K: 2 ** 10, M: MiB, G: 2 ** 30, T: 2 ** 40 };
  const read = (value: string) => {
    const match = /^(\d+(?:\.\d+)?)\s*([KMGT]?)(?:i?B)?$/i.exec(value);
    return match ? Math.floor(Number(match[1]) * units[match[2]!.toUpperCase()]!) : undefined;
  };
  return { about, initial, expected: 'a size in bytes such as 64MB', read };
}

function choice<const T extends string>(initial: T, values: readonly T[], about: string): Setting<T> {
  const read = (value: string) => values.find((allowed) => allowed === value);
  return { about, initial, expected: `one of ${values.join(', ')}`, read };
}

function list(about: string): Setting<string[]> {
  return { about, initial: [], expected: 'a list separated by commas', read: readList };
}

function readList(value: string): string[] | undefined {
  const items = value.split(',').map((item) => item.trim());
  return items.every((item) => item !== '') ? items : undefined;
}

function readFlag(value: string): boolean | undefined {
  if (value === '1' || value === 'true') return true;
  return value === '0' || value === 'false' ? false : undefined;
}

function readAliases(value: string): Record<string, string> | undefined {
  const pairs = readList(value)?.map((pair) => pair.split('='));
  if (!pairs?.every((pair) => pair.length === 2 && pair.every((air) => air !== ''))) return undefined;
  return Object.fromEntries(pairs);
}

/** `cpu,cpu` are `cpu:0,cpu:1`. */
function readDevices(value: string): EngineDevice[] | undefined {
  const found: EngineDevice[] = [];
  for (const item of readList(value) ?? ['']) {
    const [, name, digits] = /^([a-z]+)(?::(\d{1,3}))?$/.exec(item) ?? [];
    const device = devices.find((known) => known === name);
    if (device === undefined) return undefined;
    const index = Number(digits ?? found.filter((other) => other.device === device).length);
    const isRepeated = found.some((other) => other.device === device && other.index === index);
    if (isRepeated) return undefined;
    found.push({ device, index });
  }
  return found;
}

type EngineSettings = Pick<
  Config,
  'device' | 'deviceIndex' | 'devices' | 'engines' | 'threads' | 'memoryLimit' | 'redis'
>;

/** The engines of this machine; zeros of the configuration leave limits to the engine. Throws `settingInvalid`. */
export function engineOptions(config: EngineSettings) {
  const { device, deviceIndex, devices, engines, threads, memoryLimit, redis } = config;
  if (device === 'webgpu' && engines > 1) {
    const message = `--engines is ${engines}; expected 1 on webgpu; --devices webgpu:0,webgpu:1 names several adapters.`;
    throw new RetouchError('settingInvalid', message);
  }
  const several = Array.from({ length: engines || (redis === '' ? 1 : 0) }, (_, i) => ({
    device,
    index: deviceIndex + i,
  }));
  return { devices: devices.length > 0 ? devices : several, ...engineLimits({ threads, memoryLimit }) };
}

/** Limits of the engine's process; 0 in the configuration leaves them to the engine. */
export function engineLimits({ threads, memoryLimit }: Pick<Config, 'threads' | 'memoryLimit'>) {
  return { ...(threads > 0 ? { threads } : {}), ...(memoryLimit > 0 ? { memoryLimit } : {}) };
}
