/** The unsafe classes and their threshold, from the `settings` of a classifier's manifest. */
import { EngineError } from '../errors.ts';
import type { ToolSource } from '../networks/tool-source.ts';

export type UnsafeRule = { unsafe: readonly string[]; threshold: number };

/** @throws RetouchError `modelConfigInvalid` for a class the network does not have, or a threshold beyond 0 … 1 */
export function readUnsafe(
  { air, settings }: ToolSource,
  classes: readonly string[],
  otherwise: UnsafeRule,
): UnsafeRule {
  const { unsafe = otherwise.unsafe, threshold = otherwise.threshold } = settings;
  const refuse = (name: string, expected: string): never => {
    const found = JSON.stringify(settings[name]) ?? 'nothing';
    throw new EngineError(
      'modelConfigInvalid',
      `the manifest of ${air} has settings.${name} = ${found}, expected ${expected}`,
      { air, name },
    );
  };
  if (typeof threshold !== 'number' || !(threshold >= 0 && threshold <= 1))
    return refuse('threshold', 'a number of 0 to 1');
  if (!Array.isArray(unsafe) || unsafe.length === 0 || !unsafe.every((name) => classes.includes(name)))
    return refuse('unsafe', `a list of some of its classes ${classes.join(', ')}`);
  return { unsafe, threshold };
}

export function byName(classes: readonly string[], values: Float32Array): Record<string, number> {
  return Object.fromEntries(classes.map((name, i) => [name, values[i]!]));
}
