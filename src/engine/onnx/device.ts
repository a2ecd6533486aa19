/** Kinds of devices that graphs run on, by the names of ONNX Runtime's execution providers. */
export type DeviceName = 'cpu' | 'webgpu' | 'cuda';
