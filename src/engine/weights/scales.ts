/**
 * Files whose weights are stored with scales. ComfyUI's fp8_scaled has `X.scale_weight` beside `X.weight`, w =
 * stored·scale, and a marker tensor `scaled_fp8` under the network's prefix; its later form names the scale
 * `X.weight_scale` and describes each layer in JSON, `X.comfy_quant`, for eight-bit floats and for integers
 * (`int8_tensorwise`). A scale is one number, or one for each row. Scales of activations (`X.scale_input`,
 * `X.input_scale`) are for products in the stored type, which this engine does not use: they are ignored.
 */
import { EngineError } from '../errors.ts';
import { toFloats } from './floats.ts';
import { readBytes, type StoredType, type TensorEntry } from './stored.ts';

const suffixes = ['.scale_weight', '.weight_scale'];
const marker = 'scaled_fp8';
const description = '.comfy_quant';

/** Formats of ComfyUI's descriptions that are read, and the type that the weights have then. */
const formats: Readonly<Record<string, StoredType>> = {
  float8_e4m3fn: 'F8_E4M3',
  float8_e5m2: 'F8_E5M2',
  int8_tensorwise: 'I8',
};

/** The tensors with their scales in their entries, and without the scales themselves. */
export function withScales(
  path: string,
  tensors: ReadonlyMap<string, TensorEntry>,
): Map<string, TensorEntry> {
  const scaled = new Map(tensors);
  for (const [name, entry] of tensors) {
    if (!name.endsWith(description)) continue;
    const matrix = scaled.get(`${name.slice(0, -description.length)}.weight`);
    if (matrix) scaled.set(matrix.name, { ...matrix, dtype: describedType(path, entry, matrix) });
    scaled.delete(name);
  }
  for (const [name, entry] of tensors) {
    const suffix = suffixes.find((end) => name.endsWith(end));
    if (suffix === undefined) continue;
    const matrix = scaled.get(`${name.slice(0, -suffix.length)}.weight`);
    if (!matrix) continue;
    scaled.set(matrix.name, { ...matrix, scale: readScale(path, entry, matrix) });
    scaled.delete(name);
  }
  for (const name of tensors.keys())
    if (name.endsWith(marker)) checkAllScaled(path, scaled, name.slice(0, -marker.length));
  return scaled;
}

function describedType(path: string, entry: TensorEntry, matrix: TensorEntry): StoredType {
  const text = readBytes(entry).toString('utf8');
  let layer: Record<string, unknown>;
  try {
    layer = JSON.parse(text) ?? {};
  } catch (cause) {
    throw new EngineError(
      'checkpointInvalid',
      `${path}: ${entry.name} is not JSON: ${JSON.stringify(text.slice(0, 60))}`,
      { path, tensor: entry.name },
      { cause },
    );
  }
  const format = String(layer.format);
  const refuse = (what: string): never => {
    throw new EngineError(
      'dtypeUnsupported',
      `${path} stores ${matrix.name} as ${what}, which this build does not read; of ComfyUI's formats it reads ${Object.keys(formats).join(', ')}`,
      { path, tensor: matrix.name, dtype: format },
    );
  };
  const dtype = Object.hasOwn(formats, format) ? formats[format]! : refuse(format);
  // Rotated weights (QuaRot, ConvRot) have the shape and the scales of plain ones.
  const rotated = Object.entries(layer).find(([key, value]) => /rot|hadamard/i.test(key) && value === true);
  if (rotated) refuse(`${format} with rotated inputs (${rotated[0]})`);
  // Files from before safetensors had eight-bit floats store them as bytes.
  if (matrix.dtype !== dtype && !(matrix.dtype === 'U8' && dtype !== 'I8'))
    refuse(`${format} in ${matrix.dtype}`);
  return dtype;
}

function readScale(path: string, entry: TensorEntry, { name, shape, dtype }: TensorEntry): Float32Array {
  const [rows = 1] = shape;
  const count = entry.shape.reduce((product, size) => product * size, 1);
  const perRow = count === rows && entry.shape[0] === rows;
  if (count !== 1 && !perRow)
    throw new EngineError(
      'dtypeUnsupported',
      `${path}: the scale ${entry.name} has shape [${entry.shape}], expected one number or one for each of the ${rows} rows of ${name} (${dtype} [${shape}]); scales of blocks are not read`,
      { path, tensor: entry.name },
    );
  const values = toFloats(readBytes(entry), entry.dtype);
  const odd = values.find((value) => !Number.isFinite(value));
  if (odd === undefined) return values;
  throw new EngineError(
    'checkpointInvalid',
    `${path}: the scale ${entry.name} has the value ${odd}, expected finite numbers`,
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
    throw new EngineError(
      'tensorMissing',
      `${path} says that its 8-bit weights are scaled (${prefix}${marker}), but has no tensor ${missing}`,
      { path, tensor: missing },
    );
  }
}
