/** Which family a file is of. */
import { EngineError } from '../../../errors.ts';
import { type Family, families } from './index.ts';

/**
 * Every name belongs to the first family that owns it; a file is of the only family that owns one of its names. Several
 * families share the names of text encoders, which decide only if there are no others.
 *
 * @throws RetouchError `loraUnknown` when no family or several own its names, `loraRefused`
 */
export function detectFamily(names: readonly string[], path: string): Family {
  const all: Family[] = Object.values(families);
  const owners = new Set(names.flatMap((name) => all.find((family) => family.owns(name)) ?? []));
  const refused = [...owners].find(({ refusal }) => refusal !== undefined);
  if (refused) throw new EngineError('loraRefused', `${path} cannot be used: ${refused.refusal}`, { path });
  if (owners.size > 1) {
    const found = [...owners].map(({ name, probe }) => `${name} (${probe})`).join(' and ');
    throw new EngineError(
      'loraUnknown',
      `${path} has tensor names of several families of LoRAs, ${found}: it cannot be told which it is`,
      { path },
    );
  }
  const ofText = (family: Family) =>
    names.some((name) => ['clip', 't5'].includes(family.locate(name)?.network ?? ''));
  const [owner = all.find(ofText)] = owners;
  if (owner) return owner;
  const known = all.filter(({ refusal }) => !refusal).map(({ name, probe }) => `${name} (${probe})`);
  throw new EngineError(
    'loraUnknown',
    `${path} has ${names.length} tensors (${names.slice(0, 3).join(', ')}, …) named as no family of LoRAs known here: ${known.join(', ')}`,
    { path },
  );
}
