/**
 * A Plan is everything that decides the pixels of one image: no defaults are left, nothing is looked up later.
 * The same Plan gives the same bytes on the same machine.
 */

import type { CombineMethod } from './adapters/ip-adapter/combine.ts';
import type { EmbedScaling } from './adapters/ip-adapter/scaling.ts';
import type { WeightType } from './adapters/ip-adapter/weights.ts';
import type { Size } from './image/sizes.ts';

export type ImageFormat = 'jpg' | 'png' | 'webp';

/** Where a model's files are and how to read them; made by the model store from a manifest. */
export type ModelSource = {
  /** The model's id, for messages: `retouch:mini@1`. */
  air: string;
  /** A diffusers folder, or single files by component (BFL/ComfyUI split). */
  files:
    | { layout: 'diffusers'; folder: string }
    | {
        layout: 'split';
        transformer: string;
        autoencoder: string;
        clip: string;
        t5: string;
        tokenizer: string;
        tokenizer2: string;
      };
  /** A TAESD of this model's latents, folder or file: previews, and pictures when a plan asks for `tiny`. */
  tinyAutoencoder?: string;
  /** Where quantised weights of this model are cached. */
  cacheFolder: string;
};

/** A network that looks at finished pictures: where its files are and how to read them; made from a manifest. */
export type ToolSource = {
  air: string;
  /** The name of its network in the engine's table. */
  architecture: string;
  /** Absolute paths by role. */
  files: Readonly<Record<string, string>>;
  settings: Readonly<Record<string, unknown>>;
};

/** How faces found in the finished picture are painted again; the wire's `ultralytics`. */
export type FaceRefinement = {
  detector: ToolSource;
  /** 0 … 1: what a face must score. */
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

export type DeviceName = 'cpu' | 'webgpu';
export type PrecisionName = 'f32' | 'f16' | 'int8' | 'int8-blocks' | 'int4';

/** How the arithmetic departs from plain f32, each a switch because each changes pixels. */
export type Numerics = {
  device: DeviceName;
  /** `auto`: whichever the engine measured to be best for this device and model size (docs/precision.md). */
  precision: PrecisionName | 'auto';
  /** Rounding of t and guidance before the sinusoid, as the bf16 pipelines of diffusers and BFL do. */
  timestepRounding: 'none' | 'diffusers_bf16' | 'bfl_bf16';
  /** Whose stream a seed means: torch's on the CPU, the same as older torch drew bf16, or torch's on an NVIDIA GPU. */
  noise: 'f32' | 'bf16_legacy' | 'philox';
  /** Token ids of the second and later references: `offset` (ComfyUI) or `index`. */
  referenceIds: 'offset' | 'index';
};

/** What takes the sample from one noise level to the next; `engine/samplers/`. */
export type SamplerName =
  | 'euler'
  | 'heun'
  | 'dpm2'
  | 'lms'
  | 'ipndm'
  | 'pndm'
  | 'dpmpp-2m'
  | 'dpmpp-3m'
  | 'dpmpp-2s'
  | 'unipc-2'
  | 'unipc-3'
  | 'deis'
  | 'euler-ancestral'
  | 'dpm2-ancestral'
  | 'ddpm'
  | 'dpmpp-sde'
  | 'dpmpp-2m-sde'
  | 'dpmpp-3m-sde'
  | 'lcm'
  | 'tcd';

/** How the noise levels are spread; `engine/sigmas/`. */
export type SigmasName =
  | 'shifted'
  | 'karras'
  | 'exponential'
  | 'beta'
  | 'uniform'
  | 'uniform-karras'
  | 'uniform-exponential'
  | 'uniform-beta'
  | 'edm';

/** An adapter that changes every step's network, or those of one stage (adapters/lora/stages.ts). */
export type PlannedLora = { air: string; file: string; weight: number; stage: 'high' | 'low' | 'both' };
/** An IP-Adapter with the pictures that guide through it; see docs/guide/ip-adapters.md. */
export type PlannedIpAdapter = {
  air: string;
  /** The adapter's weights, and the folder or file of the encoder that sees the guide pictures. */
  file: string;
  imageEncoder: string;
  /** Encoded pictures, at least one. */
  guides: readonly Uint8Array[];
  /** What cuts each guide picture to its largest face, for adapters made for faces; undefined takes all of it. */
  faceDetector: ToolSource | undefined;
  combineMethod: CombineMethod;
  /** 0 has no influence; a negative weight steers away. */
  weight: number;
  weightType: WeightType;
  /** What the weight types that treat the composition apart give it. */
  weightComposition: number;
  embedScaling: EmbedScaling;
};

export type CacheName = 'tea' | 'first-block' | 'dual-block';

/** A step cache: what it may leave out and when; `engine/caches/`. */
export type CachePlan = {
  name: CacheName;
  /** In the cache's own measure: the more, the more is reused; at 0 nothing is. */
  threshold: number;
  /** Reuse is allowed in the steps from ≤ i < to, counted from 0. */
  from: number;
  to: number;
  /** After so many steps with reuse in a row the next is computed. */
  maxConsecutive: number;
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
  numerics: Numerics;
  loras: readonly PlannedLora[];
  ipAdapters: readonly PlannedIpAdapter[];
  /** `full` is the autoencoder's; `tiny` decodes faster and less exactly, for models that come with one. */
  decoder: 'full' | 'tiny';
  /** Send a preview after every n-th step, decoded by the tiny autoencoder where there is one; 0 is never. */
  previewEvery: number;
  /** Paint faces again; undefined is no. */
  faces: FaceRefinement | undefined;
  /** The classifier that looks at the finished picture; undefined is none. It changes no pixel. */
  safety: ToolSource | undefined;
  output: { format: ImageFormat; quality: number };
};

/** What a Plan says where nothing is asked for: each of these leaves the picture as it is without the feature. */
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

export type StageName = 'load' | 'encode' | 'decode' | 'faces' | 'safety';

/** What the engine says while it works. Times are milliseconds. */
export type EngineEvent =
  /** Work inside a stage; `fraction` is 0..1. Quantising weights for the first time reports here under `load`. */
  | { type: 'stage-progress'; stage: StageName; message: string; fraction: number }
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
  /** What a step cache did for the image; the time saved is reckoned from what a computed evaluation took. */
  | { type: 'cache-end'; cache: CacheName; evaluations: number; reused: number; savedMilliseconds: number }
  | { type: 'preview'; index: number; image: EncodedImage }
  | { type: 'decode-end'; milliseconds: number }
  /** The faces that were painted again, the largest first; `found` counts those that the limit left out as well. */
  | { type: 'faces-end'; faces: FoundFace[]; found: number; milliseconds: number }
  /** Something that was asked for and has no effect, or less than it says; a sentence for the user. */
  | { type: 'warning'; message: string }
  | { type: 'image'; image: EncodedImage; milliseconds: number };

export type EncodedImage = {
  bytes: Uint8Array;
  format: ImageFormat;
  width: number;
  height: number;
  /** What the plan's classifier says of it; there only when the plan has one. */
  nsfw?: boolean;
};

/** In pixels of the picture; right and bottom are outside. */
export type FoundFace = { left: number; top: number; right: number; bottom: number; score: number };
