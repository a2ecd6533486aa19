/** A LoRA file of any family → updates of our layers. */

import { formatBytes } from '../../../bytes.ts';
import type { RetouchError } from '../../../error.ts';
import { EngineError } from '../../errors.ts';
import { type Checkpoint, openCheckpoint } from '../../weights/checkpoint.ts';
import { toFloats } from '../../weights/floats.ts';
import { countOf, readBytes, type TensorEntry } from '../../weights/stored.ts';
import { detectFamily } from './families/detect.ts';
import type { Family } from './families/index.ts';
import { families } from './families/index.ts';
import { finite, type Parts, readForm } from './forms.ts';
import type { Layers, Network, Target } from './layers.ts';
import { refusalOf } from './parts.ts';
import { loraSettings, scaleOf } from './settings.ts';
import type { AxisValues, Update } from './update.ts';

type Layer = { network: Network; module: string; target: Target; parts: Parts };

/**
 * @throws RetouchError `loraUnknown`, `loraRefused`, `loraUnmatched` when tensors are of no layer of the model,
 *   `loraMisfit` when one has other sizes than its layer, `loraInvalid` also for numbers that are not finite, and
 *   `notEnoughMemory` before anything is read, when more than `room` bytes are needed
 */
export function readLora(path: string, layers: Layers, room = Number.POSITIVE_INFINITY): Update[] {
  const checkpoint = openCheckpoint(path);
  const family = detectFamily([...checkpoint.tensors.keys()], path);
  const settings = loraSettings(checkpoint);
  const found = groupByLayer(checkpoint, family, layers);
  checkRoom(path, found, room);
  for (const layer of found) checkMagnitude(path, layer);
  return found.map(({ network, module, target, parts }) => {
    const { product, rank } = readForm(module, parts, path);
    const { slot } = target;
    const [outputs, inputs] =
      product.kind === 'low-rank'
        ? [product.up.rows, product.down.columns]
        : [product.left.rows * product.right.rows, product.left.columns * product.right.columns];
    const expected = rowsOf(target);
    if (inputs !== slot.inputs || outputs !== expected)
      throw new EngineError(
        'loraMisfit',
        `${path} updates ${module} as a layer [${outputs}, ${inputs}], and this model's is [${expected}, ${slot.inputs}]: it was made for another model`,
        { path, module },
      );
    const alpha = parts.alpha && readScalar(parts.alpha, path);
    return {
      target,
      product,
      scale: Number.isNaN(rank) ? 1 : scaleOf(module, { rank, alpha }, settings[network]),
      magnitude: parts.magnitude && readMagnitude(parts.magnitude, target, path),
    };
  });
}

/** Computed from the header's shapes: a LoHa is small on disk and expands to a product of rank r₁·r₂ in memory. */
function checkRoom(path: string, layers: readonly Layer[], room: number): void {
  const values = layers.reduce((sum, { parts }) => sum + valuesOf(parts), 0);
  // Once as it is read, once as the networks are fed.
  const needed = 2 * 4 * values;
  if (needed <= room) return;
  throw new EngineError(
    'notEnoughMemory',
    `Not enough memory for ${path}: reading it takes ${formatBytes(needed)}, and ${formatBytes(Math.max(room, 0))} are left of what the engine may use.`,
    { path, needed, room },
  );
}

function valuesOf(parts: Parts): number {
  const shapeOf = (part: keyof Parts): readonly number[] => parts[part]?.shape ?? [0, 0];
  const [n = 0, r1 = 0] = shapeOf('loha.w1.a');
  const [r2 = 0] = shapeOf('loha.w2.b');
  const [, k = 0] = shapeOf('loha.w1.b');
  const stored = Object.values(parts).reduce((sum, entry) => sum + countOf(entry.shape), 0);
  return parts['loha.w1.a'] ? r1 * r2 * (n + k) : stored;
}

function groupByLayer(checkpoint: Checkpoint, family: Family, layers: Layers): Layer[] {
  const found = new Map<string, Layer>();
  const unmatched: string[] = [];
  for (const [name, entry] of checkpoint.tensors) {
    const located = family.locate(name) ?? locateText(name);
    const target = located && layers[located.network].get(located.module);
    if (!target) {
      unmatched.push(name);
      continue;
    }
    const { network, module, part } = located;
    const key = `${network} ${module}`;
    const layer = found.get(key) ?? { network, module, target, parts: {} };
    layer.parts[part] = entry;
    found.set(key, layer);
  }
  if (unmatched.length > 0) throw unmatchedError(checkpoint, family, unmatched);
  return [...found.values()];
}

/** Some trainers mix their own names for the text encoders with another family's names for the transformer. */
function locateText(name: string): ReturnType<Family['locate']> {
  for (const family of Object.values(families) as Family[]) {
    const located = family.locate(name);
    if (located && located.network !== 'transformer') return located;
  }
  return undefined;
}

function unmatchedError({ path, tensors }: Checkpoint, family: Family, unmatched: string[]): RetouchError {
  const shown = unmatched.slice(0, 5).join(', ') + (unmatched.length > 5 ? ', …' : '');
  const kinds = new Set(unmatched.flatMap((name) => refusalOf(name) ?? []));
  const reason = kinds.size > 0 ? `. Not used by this build: ${[...kinds].join('; ')}` : '';
  return new EngineError(
    'loraUnmatched',
    `${path} (${family.name}): ${unmatched.length} of its ${tensors.size} tensors belong to no layer of this model or are of a kind that is not known: ${shown}${reason}`,
    { path, unmatched: unmatched.length },
  );
}

/** Trainers store alpha in different number types. */
function readScalar(entry: TensorEntry, path: string): number {
  const bytes = readBytes(entry);
  if (entry.dtype === 'I64') return Number(bytes.readBigInt64LE());
  if (entry.dtype === 'I32') return bytes.readInt32LE();
  if (entry.dtype === 'F64') return bytes.readDoubleLE();
  return finite(entry, toFloats(bytes, entry.dtype), path)[0]!;
}

/** @throws RetouchError by the header alone, for magnitudes that would be applied wrongly */
function checkMagnitude(path: string, { module, target, parts }: Layer): void {
  const { magnitude } = parts;
  if (!magnitude) return;
  const refused = (reason: string) =>
    new EngineError('loraRefused', `${path}: ${reason}`, { path, tensor: magnitude.name });
  if (parts['lokr.w1'] || parts['lokr.w1.a'])
    throw refused(`${module} has LoKr factors and magnitudes (DoRA, ${magnitude.name}) together`);
  if (!axisOf(magnitude, target))
    throw refused(
      `${magnitude.name} has shape [${magnitude.shape}], expected a magnitude for each of ${rowsOf(target)} outputs or [1,${target.slot.inputs}], one for each input`,
    );
}

function readMagnitude(entry: TensorEntry, target: Target, path: string): AxisValues {
  const values = finite(entry, toFloats(readBytes(entry), entry.dtype), path);
  return { axis: axisOf(entry, target)!, values };
}

/** [n] and [n, 1] are magnitudes of outputs, and [1, K] of inputs, also where a convolution's axes of 1 follow. */
function axisOf({ shape }: TensorEntry, target: Target): AxisValues['axis'] | undefined {
  const [rows, columns = 1, ...rest] = shape;
  if (rest.some((size) => size !== 1)) return undefined;
  if (rows === rowsOf(target) && columns === 1) return 'outputs';
  return rows === 1 && columns === target.slot.inputs ? 'inputs' : undefined;
}

function rowsOf({ segments }: Target): number {
  return segments.reduce((sum, { count }) => sum + count, 0);
}
