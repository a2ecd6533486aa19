/**
 * The tensors that a linear layer W [N, K] is converted to. Tensors made of `name`, `….weight`:
 *
 * - int8: `name.i8` and `name.scale` (columns.ts);
 * - int4 and int8-blocks: `name.blocks`, `name.scale` and where there are offsets `name.offset` (blocks.ts);
 * - f16, where the checkpoint stores another type, and otherwise if its blocks are of a kind that the runtime does not know:
 *   `name` itself, as floats.
 */
import { EngineError } from '../../errors.ts';
import type { FloatType } from '../../onnx/dtype.ts';
import { blockSize } from '../../onnx/operators/index.ts';
import { type Bits, emptyBlocks, haveOffsets, placeBlocks } from '../blocks.ts';
import { copyRows, emptyColumns, placeCodes, placeRows } from '../columns.ts';
import { checkWeights, notFinite } from '../finite.ts';
import { float8, isFloat8 } from '../float8.ts';
import { readFloats } from '../floats.ts';
import { isBlockType } from '../ggml-blocks.ts';
import type { WeightSource } from '../source.ts';
import { bytesOf, countOf, piecesOf, readBytes, type StoredType, type TensorEntry } from '../stored.ts';

export type LinearShape = { name: string; inputs: number; outputs: number; precise: boolean };

/** The precision of the matrix products of linear layers. */
export type PrecisionName = FloatType | 'int8' | 'int8-blocks' | 'int4';

/** Bits of a weight in the precisions that store blocks. */
export const blockBits: Partial<Record<PrecisionName, Bits>> = { int4: 4, 'int8-blocks': 8 };

export type ConvertedTensor = { name: string; dtype: StoredType; shape: number[] };

/** Converted tensors in the order of the file; the bytes of the conversions one after the other are those of the tensors. */
export type ConvertedLayer = { tensors: ConvertedTensor[]; conversions: Conversion[] };

/** Work of one thread, as plain data; `bytes` are those of its results. */
export type Conversion = { parts: TensorEntry[]; bytes: number } & (
  | { form: 'columns'; outputs: number; inputs: number }
  | { form: 'blocks'; outputs: number; inputs: number; bits: Bits; offsets: boolean }
  | { form: 'floats'; half: boolean }
);

type Bytes = ArrayBufferView<ArrayBuffer>;

/** Undefined where the checkpoint's own tensors are used. */
export function convertedLayer(
  source: WeightSource,
  { name, inputs, outputs, precise }: LinearShape,
  precision: PrecisionName,
): ConvertedLayer | undefined {
  const weight = `${name}.weight`;
  const parts = source.parts(weight);
  const bits = blockBits[precision];
  if (!precise && precision === 'int8') {
    const tensors: ConvertedTensor[] = [
      { name: `${weight}.scale`, dtype: 'F32', shape: [outputs] },
      { name: `${weight}.i8`, dtype: 'I8', shape: [inputs, outputs] },
    ];
    return { tensors, conversions: [{ form: 'columns', parts, outputs, inputs, bytes: sizeOf(tensors) }] };
  }
  if (!precise && bits) {
    const offsets = haveOffsets(parts, bits);
    const perRow = [outputs, Math.ceil(inputs / blockSize)];
    const tensors: ConvertedTensor[] = [
      { name: `${weight}.scale`, dtype: 'F32', shape: perRow },
      ...(offsets ? [{ name: `${weight}.offset`, dtype: 'F32' as const, shape: perRow }] : []),
      { name: `${weight}.blocks`, dtype: 'U8', shape: [...perRow, (blockSize * bits) / 8] },
    ];
    const bytes = sizeOf(tensors);
    return { tensors, conversions: [{ form: 'blocks', parts, outputs, inputs, bits, offsets, bytes }] };
  }
  const half = precision === 'f16' && !precise;
  if (!needsFloats(parts, precision, half)) return undefined;
  const dtype = half ? 'F16' : 'F32';
  // Floats are made piece by piece: those of a whole layer may take hundreds of megabytes.
  return {
    tensors: [{ name: weight, dtype, shape: [outputs, inputs] }],
    conversions: [...piecesOf(parts)].map(({ part }) => ({
      form: 'floats',
      parts: [part],
      half,
      bytes: bytesOf(dtype, countOf(part.shape)),
    })),
  };
}

export function sizeOf(tensors: readonly ConvertedTensor[]): number {
  return tensors.reduce((sum, { dtype, shape }) => sum + bytesOf(dtype, countOf(shape)), 0);
}

/** @throws RetouchError `checkpointInvalid` for numbers that are not finite, `precisionUnsupported` for an overflow in f16 */
export function convert(conversion: Conversion): Bytes[] {
  const { parts } = conversion;
  switch (conversion.form) {
    case 'columns': {
      const columns = emptyColumns(conversion.outputs, conversion.inputs);
      for (const { part, row } of piecesOf(parts)) {
        const factors = part.scale ?? Float32Array.of(1);
        if (isFloat8(part.dtype)) {
          const codes = { codes: readBytes(part), values: float8[part.dtype], factors };
          if (!placeCodes(columns, codes, row)) throw notFinite(part);
        } else if (part.dtype === 'I8' && part.scale)
          copyRows(columns, { values: new Int8Array(readBytes(part)), factors }, row);
        else placeRows(columns, checkWeights(part, readFloats(part)), row);
      }
      return [columns.scale, columns.values];
    }
    case 'blocks': {
      const count = conversion.outputs * Math.ceil(conversion.inputs / blockSize);
      const blocks = emptyBlocks(count, conversion.bits, conversion.offsets);
      for (const { part, row } of piecesOf(parts)) placeBlocks(blocks, part, row);
      return [blocks.scale, ...(blocks.offset ? [blocks.offset] : []), blocks.values];
    }
    case 'floats':
      return parts.map((part) => {
        const floats = checkWeights(part, readFloats(part));
        return conversion.half ? toHalf(part, floats) : floats;
      });
  }
}

/**
 * Whether a layer's own tensors cannot be used: blocks that the runtime does not know; in f16 whatever the runtime would have
 * to convert, which it would do in the run or, when a session is made, for all layers at once in the host's memory.
 */
function needsFloats(parts: readonly TensorEntry[], precision: PrecisionName, half: boolean): boolean {
  if (precision !== 'f16') return parts.some(({ dtype }) => isBlockType(dtype));
  return parts.some(({ dtype, scale }) => scale || dtype !== (half ? 'F16' : 'F32'));
}

/** The exponent's bits of an f16, all of them set in infinities and NaN. */
const exponent = 0x7c00;

function toHalf(part: TensorEntry, floats: Float32Array): Float16Array<ArrayBuffer> {
  const half = new Float16Array(floats);
  const bits = new Uint16Array(half.buffer);
  for (let i = 0; i < bits.length; i++)
    if ((bits[i]! & exponent) === exponent)
      throw new EngineError(
        'precisionUnsupported',
        `tensor ${part.name} of ${part.file} holds ${floats[i]}, beyond f16's 65504: choose another precision`,
        { path: part.file, tensor: part.name },
      );
  return half;
}
