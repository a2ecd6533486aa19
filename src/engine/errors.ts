/** Every error of the engine by its code. */
import { RetouchError } from '../error.ts';

export const engineErrors = {
  cacheFull: 'The disk has no room for the weights that a model is computed with.',
  checkpointInvalid: "A weight file's header cannot be read.",
  checkpointTruncated:
    'A weight file is shorter than its header says: most often a download that was cut off.',
  checkpointUnknown: 'The names of the tensors are of no known layout.',
  componentMissing: 'The model comes without a network that was asked for, such as a tiny autoencoder.',
  conversionFailed: 'A thread that converts weights died: most often the machine had no memory left for it.',
  deviceUnusable: 'The device is missing, or computes wrong numbers in the self-test.',
  dtypeUnsupported: 'A tensor is stored in a number format that is not read.',
  engineAborted: 'The run was stopped by whoever asked for it.',
  engineClosed: 'The engine was closed while the run was under way or waiting, or before it was asked for.',
  engineCrashed:
    "The engine's process died during the run: the message says how and at which step. The next run gets a fresh process. When the signal is SIGKILL, the system most likely ran out of memory.",
  engineHung:
    'The engine said nothing for so much longer than it ever took that its process was replaced, and the second try hung as well.',
  graphInvalid:
    'A network was put together wrongly, in shapes or types: most often a checkpoint of unusual sizes.',
  graphRejected: "ONNX Runtime does not accept a network's graph.",
  guideUndecodable: 'A guide image of an IP-Adapter cannot be decoded, or is cut short.',
  imageTooLarge: 'An image has more pixels than are accepted, or is a JPEG of more than 100 scans.',
  imageTooSlow: 'Decoding an image takes more than 10 s of processor time.',
  imageUndecodable: 'An image is not a PNG, JPEG or WebP, or is damaged.',
  ipAdapterMisfit: "An IP-Adapter's sizes are not those of the model or of its image encoder.",
  ipAdapterUnsupported: "An IP-Adapter's file is made for another network, or of a kind that is not read.",
  loraInvalid:
    "A LoRA's file lacks part of an update, its matrices do not multiply, or a number of it is not finite.",
  loraMisfit: "A LoRA's update has other sizes than the layer: it was made for another model.",
  loraRefused: 'A LoRA is of a kind that cannot be used, for the reason given.',
  loraUnknown: "The names of a LoRA's tensors are of no family, or of several.",
  loraUnmatched: 'Tensors of a LoRA belong to no layer of the model; the first of them are listed.',
  maskUnusable: 'A mask leaves nothing to edit, or has no transparency where it needs it.',
  modelConfigInvalid: 'A configuration of the model, or the sizes of its tensors, contradict each other.',
  modelFileMissing: 'A file of the model is not there.',
  notEnoughMemory: 'The model needs more memory than the limit; found before it is loaded.',
  outputNotFinite:
    'A network gave NaN or an infinity: damaged weights, a LoRA whose weight is too large, or a precision that cannot hold its numbers. No image is made.',
  precisionUnsupported: 'The device cannot compute in the precision asked for.',
  telemetryOn:
    'The engine is loaded in a worker thread of a process whose environment lacks ORT_DISABLE_TELEMETRY=1: a thread cannot set it, and ONNX Runtime would send telemetry.',
  tensorMisshapen: 'A tensor has another shape than the network needs.',
  tensorMissing: 'A tensor that the network needs is not in the checkpoint.',
  tokenOutOfRange:
    "The tokenizer gave an id beyond the encoder's vocabulary: they are not of the same model.",
} as const;

export type EngineErrorCode = keyof typeof engineErrors;

/** RetouchError itself, constructed with a code of the table only. */
export const EngineError: new (
  code: EngineErrorCode,
  message: string,
  details?: Record<string, unknown>,
  options?: ErrorOptions,
) => RetouchError = RetouchError;
