/** The server's settings as flags of commands. */

import { type Config, loadConfig, settings, variableOf } from '../../config.ts';
import type { Flag, Flags } from './arguments.ts';

type SettingName = keyof typeof settings;

const placeholders: Partial<Record<SettingName, string>> = {
  host: 'ADDRESS',
  port: 'PORT',
  'data-dir': 'FOLDER',
  'models-dir': 'FOLDER',
  'public-url': 'URL',
  'api-keys': 'KEYS',
  'allow-private-network': 'VALUE',
  alias: 'AIR=AIR',
  device: 'DEVICE',
  devices: 'DEVICE,DEVICE',
  redis: 'URL',
  'redis-prefix': 'TEXT',
  'worker-name': 'TEXT',
  'transfer-limit': 'SIZE',
  precision: 'NAME',
  'reference-ids': 'offset|index',
  'memory-limit': 'SIZE',
  'body-limit': 'SIZE',
  'picture-limit': 'SIZE',
  'log-level': 'LEVEL',
  'webhook-secret': 'SECRET',
  'webhook-body': 'wrapped|flat',
};

export const allSettings = Object.keys(settings) as SettingName[];

/** The settings of the computation, for commands that start no server. */
export const engineSettings = [
  'data-dir',
  'models-dir',
  'alias',
  'device',
  'precision',
  'reference-ids',
  'threads',
  'memory-limit',
] as const satisfies SettingName[];

/** The way to the workers. */
export const fleetSettings = ['redis', 'redis-prefix', 'transfer-limit'] as const satisfies SettingName[];
/** The bucket through which plans and images of a fleet travel. */
export const bucketSettings = [
  's3-bucket',
  's3-endpoint',
  's3-region',
  's3-prefix',
  's3-path-style',
] as const satisfies SettingName[];

export function settingFlags(names: readonly SettingName[], withVariables = false): Flags {
  return Object.fromEntries(
    names.map((name): [string, Flag] => {
      const notes = [defaultOf(name), withVariables ? variableOf(name) : ''].filter(Boolean).join('; ');
      const about = notes === '' ? settings[name].about : `${settings[name].about} (${notes})`;
      const flag: Flag = { about, value: placeholders[name] ?? 'N' };
      return [name, name === 'alias' ? { ...flag, multiple: true } : flag];
    }),
  );
}

/** The default, as the help shows it; empty where the setting's description states it. */
function defaultOf(name: SettingName): string {
  const { initial } = settings[name];
  if (placeholders[name] === 'SIZE' && typeof initial === 'number' && initial > 0)
    return `default ${initial / 2 ** 20}MB`;
  return initial === '' || initial === 0 || typeof initial === 'boolean' || typeof initial === 'object'
    ? ''
    : `default ${initial}`;
}

/** Reads the settings among a command's values; they override the environment. */
export function configFrom(
  values: Readonly<Record<string, string | boolean | string[] | undefined>>,
): Config {
  const flags = Object.fromEntries(Object.entries(values).filter(([name]) => Object.hasOwn(settings, name)));
  return loadConfig({ env: process.env, flags });
}
