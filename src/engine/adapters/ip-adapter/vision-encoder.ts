/** Guide images to features: an IP-Adapter's image encoder, CLIP's or SigLIP's. */
import fs from 'node:fs';
import path from 'node:path';
import { EngineError } from '../../errors.ts';
import type { Bitmap } from '../../image/pixels.ts';
import { clipVisionConfig, clipVisionGraph } from '../../models/clip-vision.ts';
import { siglipVisionConfig, siglipVisionGraph } from '../../models/siglip-vision.ts';
import type { VisionConfig } from '../../models/vision-config.ts';
import { compile } from '../../networks/compile.ts';
import type { Component } from '../../networks/components.ts';
import { checkTool } from '../../networks/finite.ts';
import type { Loadable } from '../../networks/loadable.ts';
import { countWeights, type OpenedModel } from '../../networks/opened-model.ts';
import type { Graph } from '../../onnx/graph.ts';
import type { Session } from '../../onnx/session.ts';
import { f32Tensor, floats } from '../../onnx/tensor.ts';
import { openCheckpoint, readJson } from '../../weights/checkpoint.ts';
import type { Dialect } from '../../weights/dialects/index.ts';
import { clipVisionDialects, siglipVisionDialects } from '../../weights/dialects/vision.ts';
import { WeightSource } from '../../weights/source.ts';
import type { Compute } from '../../weights/weights.ts';
import { prepareGuideImage } from './guide-image.ts';

type EncoderKind = {
  dialects: readonly Dialect[];
  configure: (source: WeightSource) => VisionConfig;
  build: (source: WeightSource, config: VisionConfig, compute: Compute) => Graph;
};

const kinds = {
  clip: { dialects: clipVisionDialects, configure: clipVisionConfig, build: clipVisionGraph },
  siglip: { dialects: siglipVisionDialects, configure: siglipVisionConfig, build: siglipVisionGraph },
} as const satisfies Record<string, EncoderKind>;

export type OpenVisionEncoder = Component<VisionConfig> & { build: EncoderKind['build'] };

type IpAdapterEncoder = { planned: { imageEncoder: string }; encoder: OpenVisionEncoder };

/**
 * Reads the header of an encoder, a transformers folder or a single file, and detects its kind from the tensor names.
 */
export function openVisionEncoder(where: string): OpenVisionEncoder {
  const checkpoint = openCheckpoint(where);
  const all: EncoderKind[] = Object.values(kinds);
  const names = new Set(checkpoint.tensors.keys());
  const kind = all.find(({ dialects }) => dialects.some((dialect) => dialect.matches(names)));
  // The error of a file of neither kind lists the layouts of both.
  const source = new WeightSource(
    checkpoint,
    (kind ? [kind] : all).flatMap(({ dialects }) => dialects),
  );
  return { source, config: { ...kind!.configure(source), ...normalisation(where) }, build: kind!.build };
}

/** Mean and deviation of the processor's configuration, where there is one. */
function normalisation(where: string): Partial<Pick<VisionConfig, 'mean' | 'deviation'>> {
  const file = path.join(where, 'preprocessor_config.json');
  if (!fs.existsSync(file)) return {};
  const { image_mean, image_std } = readJson(file);
  return {
    ...(image_mean === undefined ? {} : { mean: readRgb('image_mean', image_mean, file) }),
    ...(image_std === undefined ? {} : { deviation: readRgb('image_std', image_std, file) }),
  };
}

function readRgb(name: string, value: unknown, file: string): [number, number, number] {
  if (Array.isArray(value) && value.length === 3 && value.every(Number.isFinite))
    return value as [number, number, number];
  throw new EngineError(
    'modelConfigInvalid',
    `${file}: its ${name} is ${JSON.stringify(value)}, expected three numbers`,
    { path: file },
  );
}

/** Adapters that share an encoder share its loaded network. */
export function visionEncoder(
  { session, compute }: OpenedModel,
  use: IpAdapterEncoder,
): Loadable<VisionEncoder> {
  const { planned, encoder } = use;
  const { source, config, build } = encoder;
  return {
    key: `guide image encoder (f32 on ${session.device}, ${planned.imageEncoder})`,
    need: { bytes: 4 * countWeights(source), working: workingBytes(config) },
    load: async function* () {
      const { vision } = yield* compile({
        name: 'the guide image encoder',
        source,
        graphs: { vision: { build: (compute) => build(source, config, compute) } },
        compute: { ...compute, precision: 'f32' },
        options: { ...session, arena: false },
      });
      return new VisionEncoder(config, vision, source.checkpoint.path);
    },
  };
}

/** Bytes of a layer's activations. */
function workingBytes({ size, patch, hidden, mlp, heads }: VisionConfig): number {
  const tokens = (size / patch) ** 2 + 1;
  return 4 * tokens * (8 * hidden + 2 * mlp + 2 * heads * tokens);
}

export class VisionEncoder {
  private readonly config: VisionConfig;
  private readonly session: Session;
  /** For messages. */
  private readonly name: string;

  constructor(config: VisionConfig, session: Session, file: string) {
    this.config = config;
    this.name = `the guide image encoder ${file}`;
    this.session = session;
  }

  /** An image of any size to its features [E]. */
  async encode(bitmap: Bitmap): Promise<Float32Array> {
    const { size } = this.config;
    const image = f32Tensor(prepareGuideImage(bitmap, this.config), [1, 3, size, size]);
    const { features } = await this.session.run({ image });
    return checkTool(floats(features!), 'The encoding', this.name);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
