/** Checks a LoRA by the names of its tensors alone, so that it is refused before it is downloaded or installed. */
import { EngineError } from '../../errors.ts';
import { locatePart, refusalOf } from './parts.ts';

/** @throws RetouchError `loraRefused` for tensors that no model uses */
export function checkLoraNames(names: readonly string[], path: string): void {
  const kinds = new Map(
    names.flatMap((name) => (refusalOf(name) ? [[refusalOf(name)!, name] as const] : [])),
  );
  const both = magnitudeBesideLokr(names);
  if (both) kinds.set('LoKr factors and magnitudes (DoRA) together', both);
  if (kinds.size === 0) return;
  const found = [...kinds].map(([kind, name]) => `${kind} (${name})`).join('; ');
  throw new EngineError('loraRefused', `${path} has tensors that this build does not use: ${found}`, {
    path,
  });
}

function magnitudeBesideLokr(names: readonly string[]): string | undefined {
  const parts = names.map((name) => ({ name, located: locatePart(name) }));
  const lokr = new Set(
    parts.flatMap(({ located }) => (located?.part.startsWith('lokr.') ? [located.module] : [])),
  );
  return parts.find(({ located }) => located?.part === 'magnitude' && lokr.has(located.module))?.name;
}
