/**
 * Unsupported formats of quantised weights, recognised by tensors that only they have. Without this check their shapes and
 * types would be reported as a damaged file.
 */
import type { RetouchError } from '../../error.ts';
import { EngineError } from '../errors.ts';
import { readable } from './floats.ts';
import type { TensorEntry } from './stored.ts';

type Format = { name: string; marker: (entry: TensorEntry, names: Tensors) => boolean };
type Tensors = ReadonlyMap<string, TensorEntry>;

const named = (pattern: RegExp) => (entry: TensorEntry) => pattern.test(entry.name);

const formats: readonly Format[] = [
  { name: "bitsandbytes' NF4", marker: named(/\.quant_state\.bitsandbytes__nf4$/) },
  { name: "bitsandbytes' FP4", marker: named(/\.quant_state\.bitsandbytes__fp4$/) },
  { name: "bitsandbytes' four bits (NF4 or FP4)", marker: named(/\.(nested_)?absmax$|\.quant_map$/) },
  { name: "bitsandbytes' LLM.int8()", marker: named(/\.SCB$|\.weight_format$/) },
  {
    name: 'SVDQuant (nunchaku)',
    marker: ({ name }, tensors) =>
      /\.(wscales|wtscale|smooth_factor|smooth_factor_orig|proj_down|wcscales)$/.test(name) &&
      [...tensors.keys()].some((other) => other.endsWith('.qweight')),
  },
  { name: 'GPTQ or AWQ', marker: named(/\.(qzeros|g_idx)$/) },
  { name: 'HQQ', marker: named(/\.W_q$/) },
  { name: "optimum-quanto's", marker: named(/\.weight\._data(\._data)?$/) },
  { name: 'NVFP4', marker: named(/\.weight_scale_2$/) },
  {
    // Scales of blocks of 32, as exponents.
    name: 'MXFP8 or MXFP4',
    marker: ({ name, dtype }) => /\.weight_scale$/.test(name) && /^(U8|F8_E8M0)$/.test(dtype),
  },
  { name: 'blocks of eight-bit floats with a scale each', marker: named(/\.weight_scale_inv$/) },
];

/** @throws RetouchError `dtypeUnsupported` that names the format */
export function refuseUnreadable(path: string, tensors: Tensors): void {
  for (const entry of tensors.values()) {
    const format = formats.find(({ marker }) => marker(entry, tensors));
    if (format) throw unreadable(path, `${format.name} weights (it has ${entry.name})`, entry.dtype);
  }
}

/**
 * Also refuses weights of an unknown type, and I8 weights without a scale. `refuseUnreadable` does not check types, since a
 * file may hold tensors of networks that are not loaded.
 */
export function refuseUnreadableTypes(path: string, tensors: Tensors): void {
  refuseUnreadable(path, tensors);
  for (const { name, dtype, scale } of tensors.values()) {
    const isWeight =
      name.endsWith('.weight') && (isUnknown(dtype) || (dtype === 'I8' && !scaleOf(name, tensors)));
    if (isWeight && scale === undefined) throw unreadable(path, `${name} as ${dtype}`, dtype);
  }
}

const kinds = new Set([...readable.split(', '), 'I8', 'F64', 'I64', 'I32', 'I16', 'BOOL']);

function isUnknown(dtype: string): boolean {
  return !kinds.has(dtype);
}

function scaleOf(name: string, tensors: Tensors): boolean {
  const layer = name.slice(0, -'.weight'.length);
  return tensors.has(`${layer}.weight_scale`) || tensors.has(`${layer}.scale_weight`);
}

function unreadable(path: string, what: string, dtype: string): RetouchError {
  return new EngineError(
    'dtypeUnsupported',
    `${path} stores ${what}, which this build does not read; it reads ${readable}`,
    { path, dtype },
  );
}
