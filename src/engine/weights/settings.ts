/** A network's configuration: config.json beside the checkpoint, or JSON in a single file's metadata. */
import { EngineError } from '../errors.ts';
import type { Checkpoint } from './checkpoint.ts';

/** @param key the metadata key that holds the configuration when there is no config.json */
export function settingsOf({ config, metadata, path }: Checkpoint, key: string): Record<string, unknown> {
  if (Object.keys(config).length > 0) return { ...config };
  const text = metadata[key];
  if (text === undefined) return {};
  try {
    return JSON.parse(text);
  } catch (cause) {
    throw new EngineError(
      'modelConfigInvalid',
      `${path}: its metadata ${key} is not JSON`,
      { path },
      { cause },
    );
  }
}
