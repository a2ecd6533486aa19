/** Every operator a network may use: functions Var → Var that infer type and shape when called. */
export * from './attention.ts';
export * from './blocks.ts';
export * as constant from './constant.ts';
export * from './convolution.ts';
export * from './elementwise.ts';
export * from './matmul.ts';
export * from './normalization.ts';
export * from './quantized.ts';
export * from './reduce.ts';
export * from './rows.ts';
export * from './shape.ts';
