/**
 * A Plan has everything that determines the pixels of one image, with all defaults applied. The same Plan gives the
 * same bytes on the same machine. Its parts are declared where they are read: a sampler's name is a key of the
 * samplers' table.
 */
import type { PlannedIpAdapter } from './adapters/ip-adapter/use.ts';
import type { PlannedLora } from './adapters/lora/cache.ts';
import type { CacheName, CachePlan } from './caches/index.ts';
import type { Face } from './faces/boxes.ts';
import type { EncodedImage, ImageFormat } from './image/formats.ts';
import type { Size } from './image/sizes.ts';
import type { TimestepRounding } from './latents/timestep.ts';
import type { ReferenceIds } from './latents/token-ids.ts';
import type { ModelSource } from './networks/components.ts';
import type { PrecisionChoice } from './networks/precision.ts';
import type { ToolSource } from './networks/tool-source.ts';
import type { DeviceName } from './onnx/device.ts';
import type { NoiseName } from './random/torch-noise.ts';
import type { SamplerName } from './samplers/index.ts';
import type { SigmasName } from './sigmas/index.ts';
import type { EngineWarning } from './warnings.ts';
import type { PrecisionName } from './weights/conversion/layers.ts';

export type {
  CacheName,
  CachePlan,
  DeviceName,
  EncodedImage,
  Face,
  ImageFormat,
  ModelSource,
  PlannedIpAdapter,
  PlannedLora,
  PrecisionName,
  ToolSource,
};

/** How faces found in the finished image are repainted; the wire's `ultralytics`. */
export type FaceRefinement = {
  detector: ToolSource;
  /** 0 … 1: the least score of a face. */
  confidence: number;
  /** Pixels by which the box grows on each side, and the σ of the blur of its edge. */
  maskPadding: number;
  maskBlur: number;
  prompt: string;
  negativePrompt: string;
  steps: number;
  guidance: number;
  /** 0 … 1: how much of the schedule is run; 0 leaves faces as they are. */
  strength: number;
};

/** How the arithmetic departs from plain f32, each a switch because each changes pixels. */
export type Numerics = {
  device: DeviceName;
  precision: PrecisionChoice;
  timestepRounding: TimestepRounding;
  noise: NoiseName;
  referenceIds: ReferenceIds;
};

export type Plan = {
  model: ModelSource;
  prompt: string;
  negativePrompt: string;
  /** Encoded reference images (PNG, JPEG, WebP), in order; empty for text-to-image. */
  references: Uint8Array[];
  /** Encoded grey image over the first reference: white is edited, black stays; undefined edits all of it. */
  mask: Uint8Array | undefined;
  width: number;
  height: number;
  /** 0 ≤ seed < 2^63; torch's CPU generator uses the low 32 bits. */
  seed: bigint;
  steps: number;
  /** The distilled guidance embedding (the wire's CFGScale). */
  guidance: number;
  /** Classifier-free guidance with a second, negative pass; ≤ 1 is off. */
  trueCfg: number;
  sampler: SamplerName;
  sigmas: SigmasName;
  /** Undefined computes every step. */
  cache: CachePlan | undefined;
  /**
   * Steps from one computation of the references' keys and values to the next; undefined computes them in every step.
   */
  referenceInterval?: number;
  numerics: Numerics;
  loras: readonly PlannedLora[];
  ipAdapters: readonly PlannedIpAdapter[];
  /** `full` uses the autoencoder; `tiny` decodes faster and less exactly, for models with a TAESD. */
  decoder: 'full' | 'tiny';
  /** Send a preview after every n-th step, decoded by the tiny autoencoder where there is one; 0 is never. */
  previewEvery: number;
  /** Repaint faces; undefined is no. */
  faces: FaceRefinement | undefined;
  /** The classifier of the finished image; undefined is none. It changes no pixel. */
  safety: ToolSource | undefined;
  output: { format: ImageFormat; quality: number };
};

/** The values of a Plan that turn every feature off. */
export const plainPlan = {
  negativePrompt: '',
  mask: undefined,
  trueCfg: 1,
  sampler: 'euler',
  sigmas: 'shifted',
  cache: undefined,
  loras: [],
  ipAdapters: [],
  decoder: 'full',
  previewEvery: 0,
  faces: undefined,
  safety: undefined,
} as const satisfies Partial<Plan>;

/** Arithmetic as the reference implementations' f32. */
export const plainNumerics = {
  device: 'cpu',
  precision: 'f32',
  timestepRounding: 'none',
  noise: 'f32',
  referenceIds: 'offset',
} as const satisfies Numerics;

export type StageName = 'load' | 'encode' | 'denoise' | 'decode' | 'faces' | 'safety';

/** Bytes of a file that are written, and that it will have. */
export type Bytes = { done: number; total: number };

/** Events of a run, in the order of its stages. Times are milliseconds. */
export type EngineEvent =
  /**
   * Work inside a stage; `fraction` is 0..1 of what `message` names. Converting weights for the first time reports here
   * under `load` with its bytes, the blocks of a step under `denoise`. With `loads` a network's weights are read or
   * converted, which takes as long as the disk does.
   */
  | {
      type: 'stage-progress';
      stage: StageName;
      message: string;
      fraction: number;
      bytes?: Bytes;
      loads?: boolean;
    }
  | { type: 'load-end'; milliseconds: number; device: DeviceName; precision: PrecisionName }
  /** `references`: the size that each was fitted to. */
  | { type: 'encode-end'; milliseconds: number; references?: Size[] }
  /** `reused`, where there is a step cache: evaluations of the network in this step that it answered. */
  | {
      type: 'step-end';
      index: number;
      steps: number;
      sigma: number;
      milliseconds: number;
      reused?: number;
    }
  /** Evaluations that ran the blocks, and those of them that took the references' keys and values of an earlier step. */
  | { type: 'references-end'; evaluations: number; reused: number }
  /** The step cache's account of the image; the saved time is estimated from the time of computed evaluations. */
  | { type: 'cache-end'; cache: CacheName; evaluations: number; reused: number; savedMilliseconds: number }
  | { type: 'preview'; index: number; image: EncodedImage }
  | { type: 'decode-end'; milliseconds: number }
  /** The faces that were painted again, the largest first; `found` counts those that the limit left out as well. */
  | { type: 'faces-end'; faces: Face[]; found: number; milliseconds: number }
  /** A message for the user about a parameter that has no effect, or less than its value says. */
  | ({ type: 'warning' } & EngineWarning)
  | { type: 'image'; image: FinishedImage; milliseconds: number };

/** `nsfw` is the verdict of the plan's classifier; absent when the plan has none. */
export type FinishedImage = EncodedImage & { nsfw?: boolean };
