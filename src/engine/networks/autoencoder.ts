/** The autoencoder's two halves, each loaded only when it is needed, and the tiny decoder. */
import { EngineError } from '../errors.ts';
import type { Size } from '../image/sizes.ts';
import { type LatentScale, type LatentShape, scaleLatent, unscaleLatent } from '../latents/packing.ts';
import { decoderGraph, encoderGraph } from '../models/autoencoder.ts';
import { autoencoderBytes } from '../models/autoencoder-memory.ts';
import { decoderTinyGraph } from '../models/autoencoder-tiny.ts';
import type { Graph } from '../onnx/graph.ts';
import type { Session } from '../onnx/session.ts';
import { f32Tensor, floats } from '../onnx/tensor.ts';
import type { WeightSource } from '../weights/source.ts';
import { compile } from './compile.ts';
import { checkFinite } from './finite.ts';
import type { Loadable, Loading, Need } from './loadable.ts';
import { countWeights, networkKey, type OpenedModel, onceAnImage } from './opened-model.ts';

/** @param size of the largest image to encode */
export function imageEncoder(model: OpenedModel, size: Size): Loadable<LatentEncoder> {
  const { source, config } = model.components.autoencoder;
  return {
    key: networkKey(model, 'image encoder'),
    need: need(model, size),
    load: async function* () {
      const build = () => encoderGraph(source, config, model.compute);
      const half = { name: 'image encoder', source, build };
      return new LatentEncoder(yield* compileOne(model, half), { source, scale: config });
    },
  };
}

/** The `tiny` decoder is faster and less exact. */
export type DecoderName = 'full' | 'tiny';

/** @throws RetouchError `componentMissing` when `tiny` is asked for and the model has none */
export function imageDecoder(model: OpenedModel, size: Size, which: DecoderName): Loadable<LatentDecoder> {
  const decoder = which === 'tiny' ? tinyDecoder(model) : fullDecoder(model);
  return {
    key: networkKey(model, decoder.name),
    need: need(model, size),
    load: async function* () {
      return new LatentDecoder(yield* compileOne(model, decoder), decoder);
    },
  };
}

type Half = { name: string; source: WeightSource; build: () => Graph };
type Decoder = Half & { scale: LatentScale };

function fullDecoder({ components, compute }: OpenedModel): Decoder {
  const { source, config } = components.autoencoder;
  const build = () => decoderGraph(source, config, compute);
  return { name: 'image decoder', source, scale: config, build };
}

function tinyDecoder({ components: { tiny }, compute, source: { air } }: OpenedModel): Decoder {
  if (!tiny)
    throw new EngineError(
      'componentMissing',
      `${air} comes without a tiny autoencoder, which decoder 'tiny' needs; 'full' is available`,
      { air },
    );
  const { source, config } = tiny;
  const build = () => decoderTinyGraph(source, config, compute);
  return { name: 'tiny image decoder', source, scale: config, build };
}

/** Both halves' weights in f32 (nn/conv.ts says why), whichever half is loaded. */
function need({ components }: OpenedModel, { width, height }: Size): Need {
  const { source, config } = components.autoencoder;
  return { bytes: 4 * countWeights(source), working: autoencoderBytes(config, width, height) };
}

async function* compileOne(model: OpenedModel, { name, source, build }: Half): Loading<Session> {
  const compute = { ...model.compute, precision: 'f32' } as const;
  const { half } = yield* compile({
    name,
    source,
    graphs: { half: { build } },
    compute,
    options: onceAnImage(model),
  });
  return half;
}

export class LatentEncoder {
  private readonly session: Session;
  private readonly half: { source: WeightSource; scale: LatentScale };

  constructor(session: Session, half: { source: WeightSource; scale: LatentScale }) {
    this.session = session;
    this.half = half;
  }

  /**
   * An image [3, H, W] in [-1, 1] to the transformer's latent [z, h, w]: the posterior's mode, no sample of it.
   *
   * @throws RetouchError `outputNotFinite`
   */
  async encode(planar: Float32Array, { width, height }: Size): Promise<Float32Array> {
    const { source, scale } = this.half;
    const { moments } = await this.session.run({ image: f32Tensor(planar, [1, 3, height, width]) });
    const values = checkFinite(floats(moments!), 'The latent', `the image encoder ${source.checkpoint.path}`);
    return scaleLatent(values.subarray(0, values.length / 2), scale);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

export class LatentDecoder {
  private readonly session: Session;
  private readonly decoder: Omit<Decoder, 'build'>;

  constructor(session: Session, decoder: Omit<Decoder, 'build'>) {
    this.session = session;
    this.decoder = decoder;
  }

  /**
   * The transformer's latent [z, h, w] to an image [3, H, W], about [-1, 1].
   *
   * @throws RetouchError `outputNotFinite`
   */
  async decode(latent: Float32Array, { channels, h, w }: LatentShape): Promise<Float32Array> {
    const { name, source, scale } = this.decoder;
    const { image } = await this.session.run({
      latent: f32Tensor(unscaleLatent(latent, scale), [1, channels, h, w]),
    });
    return checkFinite(floats(image!), 'The image', `the ${name} ${source.checkpoint.path}`);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
