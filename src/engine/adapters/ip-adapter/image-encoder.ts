/** Guide pictures to features: an IP-Adapter's image encoder, ready to run. */
import fs from 'node:fs';
import path from 'node:path';
import { RetouchError } from '../../../error.ts';
import type { Bitmap } from '../../image/pixels.ts';
import { clipVisionConfig, clipVisionGraph } from '../../models/clip-vision.ts';
import { siglipVisionConfig, siglipVisionGraph } from '../../models/siglip-vision.ts';
import type { VisionConfig } from '../../models/vision-config.ts';
import { compile, type Progress, releaseAll } from '../../networks/compile.ts';
import type { Component } from '../../networks/components.ts';
import type { Graph } from '../../onnx/graph.ts';
import type { Session, SessionOptions } from '../../onnx/session.ts';
import { f32Tensor, floats } from '../../onnx/tensor.ts';
import { openCheckpoint, readJson } from '../../weights/checkpoint.ts';
import type { Dialect } from '../../weights/dialects/index.ts';
import { clipVisionDialects, siglipVisionDialects } from '../../weights/dialects/vision.ts';
import { WeightSource } from '../../weights/source.ts';
import type { Compute } from '../../weights/weights.ts';
import { prepareGuide } from './guide-image.ts';

type EncoderKind = {
  dialects: readonly Dialect[];
  configure: (source: WeightSource) => VisionConfig;
  build: (source: WeightSource, config: VisionConfig, compute: Compute) => Graph;
};

const kinds = {
  clip: { dialects: clipVisionDialects, configure: clipVisionConfig, build: clipVisionGraph },
  siglip: { dialects: siglipVisionDialects, configure: siglipVisionConfig, build: siglipVisionGraph },
} as const satisfies Record<string, EncoderKind>;

export type OpenGuideEncoder = Component<VisionConfig> & { build: EncoderKind['build'] };

/** Reads the header of an encoder, a transformers folder or a single file, and tells its kind by its tensors' names. */
export function openGuideEncoder(where: string): OpenGuideEncoder {
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

/** What a processor's configuration says besides the encoder's. */
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
  throw new RetouchError(
    'modelConfigInvalid',
    `${file}: its ${name} is ${JSON.stringify(value)}, expected three numbers`,
    { path: file },
  );
}

export class GuideEncoder {
  private readonly config: VisionConfig;
  private readonly session: Session;

  private constructor(config: VisionConfig, session: Session) {
    this.config = config;
    this.session = session;
  }

  /** Bytes of a layer's activations. */
  static workingBytes({ size, patch, hidden, mlp, heads }: VisionConfig): number {
    const tokens = (size / patch) ** 2 + 1;
    return 4 * tokens * (8 * hidden + 2 * mlp + 2 * heads * tokens);
  }

  static async *load(
    { source, config, build }: OpenGuideEncoder,
    compute: Compute,
    options: SessionOptions,
  ): AsyncGenerator<Progress, GuideEncoder> {
    const builders = { vision: { build: (compute: Compute) => build(source, config, compute) } };
    const { vision } = yield* compile(
      'the guide image encoder',
      source,
      builders,
      { ...compute, product: 'f32' },
      options,
      '',
    );
    return new GuideEncoder(config, vision);
  }

  /** A picture of any size to its features [E]. */
  async encode(bitmap: Bitmap): Promise<Float32Array> {
    const { size } = this.config;
    const image = f32Tensor(prepareGuide(bitmap, this.config), [1, 3, size, size]);
    const { features } = await this.session.run({ image });
    return floats(features!);
  }

  release(): Promise<void> {
    return releaseAll({ session: this.session });
  }
}
