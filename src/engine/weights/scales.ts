/**
 * Files in 8-bit floats with a scale for each matrix. ComfyUI's fp8_scaled has a scalar `X.scale_weight` beside
 * `X.weight`, w = w8·scale, and a marker tensor `scaled_fp8` under the network's prefix; its later form names the scale
 * `X.weight_scale`. Scales of activations (`X.scale_input`, `X.input_scale`) are for products computed in 8-bit floats,
 * which these are not: they are left alone.
 */
import { RetouchError } from '../../error.ts';
import { toFloats } from './floats.ts';
import { readBytes, type TensorEntry } from './stored.ts';

const suffixes = ['.scale_weight', '.weight_scale'];
const marker = 'scaled_fp8';

/** The tensors with their scales in their entries, and without the scales themselves. */
export function withScales(
  path: string,
  tensors: ReadonlyMap<string, TensorEntry>,
): Map<string, TensorEntry> {
  const scaled = new Map(tensors);
  for (const [name, entry] of tensors) {
    const suffix = suffixes.find((end) => name.endsWith(end));
    if (suffix === undefined) continue;
    const matrix = tensors.get(`${name.slice(0, -suffix.length)}.weight`);
    if (!matrix?.dtype.startsWith('F8_')) continue;
    scaled.set(matrix.name, { ...matrix, scale: readScale(path, entry) });
    scaled.delete(name);
  }
  for (const name of tensors.keys())
    if (name.endsWith(marker)) checkAllScaled(path, scaled, name.slice(0, -marker.length));
  return scaled;
}

function readScale(path: string, entry: TensorEntry): number {
  const values = toFloats(readBytes(entry), entry.dtype);
  if (values.length === 1 && Number.isFinite(values[0])) return values[0]!;
  throw new RetouchError(
    'checkpointInvalid',
    `${path}: the scale ${entry.name} has ${values.length} values (${[...values.slice(0, 3)]}), expected one that is finite`,
    { path, tensor: entry.name },
  );
}

/** Weights without their scale are numbers of the right shape and the wrong size. Token tables never have one. */
function checkAllScaled(path: string, tensors: ReadonlyMap<string, TensorEntry>, prefix: string): void {
  for (const { name, dtype, shape, scale } of tensors.values()) {
    const isMatrix = name.startsWith(prefix) && name.endsWith('.weight') && shape.length === 2;
    if (!isMatrix || !dtype.startsWith('F8_') || scale !== undefined) continue;
    if (/(shared|embed_tokens|token_embedding|relative_attention_bias)\.weight$/.test(name)) continue;
    const missing = name.replace(/weight$/, 'scale_weight');
    throw new RetouchError(
      'tensorMissing',
      `${path} says that its 8-bit weights are scaled (${prefix}${marker}), but has no tensor ${missing}`,
      { path, tensor: missing },
    );
  }
}
