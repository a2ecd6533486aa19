/** Element types of graph values, with their ONNX codes (onnx.proto3, TensorProto.DataType) and sizes. */
export const dtypes = {
  f32: { onnx: 1, bytes: 4 },
  u8: { onnx: 2, bytes: 1 },
  i8: { onnx: 3, bytes: 1 },
  i32: { onnx: 6, bytes: 4 },
  i64: { onnx: 7, bytes: 8 },
  bool: { onnx: 9, bytes: 1 },
  f16: { onnx: 10, bytes: 2 },
  bf16: { onnx: 16, bytes: 2 },
  f8e4m3: { onnx: 17, bytes: 1 },
  f8e5m2: { onnx: 19, bytes: 1 },
  u4: { onnx: 21, bytes: 0.5 },
} as const;

export type DType = keyof typeof dtypes;
/** The types arithmetic runs in. */
export type FloatType = 'f32' | 'f16';
