/** The autoencoder's two halves, ready to run: each is loaded only when it is needed. */

import type { Size } from '../image/sizes.ts';
import { type LatentScale, type LatentShape, scaleLatent, unscaleLatent } from '../latents/packing.ts';
import { decoderGraph, encoderGraph } from '../models/autoencoder.ts';
import type { AutoencoderConfig } from '../models/autoencoder-config.ts';
import { type AutoencoderTinyConfig, decoderTinyGraph } from '../models/autoencoder-tiny.ts';
import type { Graph } from '../onnx/graph.ts';
import type { Session, SessionOptions } from '../onnx/session.ts';
import { f32Tensor, floats } from '../onnx/tensor.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import { compile, type Progress, releaseAll } from './compile.ts';
import type { Component } from './components.ts';
import { checkFinite } from './finite.ts';

type Autoencoder = Component<AutoencoderConfig>;
type Loading = AsyncGenerator<Progress, ImageDecoder>;

export class ImageEncoder {
  private readonly autoencoder: Autoencoder;
  private readonly session: Session;

  private constructor(autoencoder: Autoencoder, session: Session) {
    this.autoencoder = autoencoder;
    this.session = session;
  }

  static async *load(
    { source, config }: Autoencoder,
    compute: Compute,
    options: SessionOptions,
  ): AsyncGenerator<Progress, ImageEncoder> {
    const builders = { encoder: { build: () => encoderGraph(source, config, compute) } };
    const { encoder } = yield* compile(
      'image encoder',
      source,
      builders,
      { ...compute, product: 'f32' },
      options,
      '',
    );
    return new ImageEncoder({ source, config }, encoder);
  }

  /** A picture [3, H, W] in [-1, 1] to the transformer's latent [z, h, w]: the posterior's mode, no sample of it. */
  async encode(planar: Float32Array, { width, height }: Size): Promise<Float32Array> {
    const { moments } = await this.session.run({ image: f32Tensor(planar, [1, 3, height, width]) });
    const { source, config } = this.autoencoder;
    const values = checkFinite(floats(moments!), 'The latent', `the image encoder ${source.checkpoint.path}`);
    return scaleLatent(values.subarray(0, values.length / 2), config);
  }

  release(): Promise<void> {
    return releaseAll({ session: this.session });
  }
}

/** A network that turns latents into pictures: the autoencoder's decoder, or TAESD's. */
type Decoder = { what: string; source: WeightSource; scale: LatentScale; build: (compute: Compute) => Graph };

export class ImageDecoder {
  private readonly decoder: Pick<Decoder, 'what' | 'source' | 'scale'>;
  private readonly session: Session;

  private constructor(decoder: Pick<Decoder, 'what' | 'source' | 'scale'>, session: Session) {
    this.decoder = decoder;
    this.session = session;
  }

  static full({ source, config }: Autoencoder, compute: Compute, options: SessionOptions): Loading {
    const build = () => decoderGraph(source, config, compute);
    return ImageDecoder.load({ what: 'image decoder', source, scale: config, build }, compute, options);
  }

  static tiny(
    { source, config }: Component<AutoencoderTinyConfig>,
    compute: Compute,
    options: SessionOptions,
  ): Loading {
    const build = () => decoderTinyGraph(source, config, compute);
    return ImageDecoder.load({ what: 'tiny image decoder', source, scale: config, build }, compute, options);
  }

  private static async *load(
    { what, source, scale, build }: Decoder,
    compute: Compute,
    options: SessionOptions,
  ): Loading {
    const { decoder } = yield* compile(
      what,
      source,
      { decoder: { build } },
      { ...compute, product: 'f32' },
      options,
      '',
    );
    return new ImageDecoder({ what, source, scale }, decoder);
  }

  /** The transformer's latent [z, h, w] to a picture [3, H, W], about [-1, 1]. */
  async decode(latent: Float32Array, { channels, h, w }: LatentShape): Promise<Float32Array> {
    const { what, source, scale } = this.decoder;
    const { image } = await this.session.run({
      latent: f32Tensor(unscaleLatent(latent, scale), [1, channels, h, w]),
    });
    return checkFinite(floats(image!), 'The picture', `the ${what} ${source.checkpoint.path}`);
  }

  release(): Promise<void> {
    return releaseAll({ session: this.session });
  }
}
