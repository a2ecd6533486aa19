/** The autoencoder's two halves, each loaded only when it is needed, and the tiny decoder. */
import { EngineError } from '../errors.ts';
import type { Size } from '../image/sizes.ts';
import { type LatentScale, type LatentShape, scaleLatent, unscaleLatent } from '../latents/packing.ts';
import { decoderGraph, encoderGraph } from '../models/autoencoder.ts';
import {
  bandRows,
  decoderBytes,
  decoderInBandsBytes,
  encoderBytes,
  takesBands,
} from '../models/autoencoder-memory.ts';
import { decoderTinyGraph } from '../models/autoencoder-tiny.ts';
import type { Graph } from '../onnx/graph.ts';
import type { Session } from '../onnx/session.ts';
import { f32Tensor, floats, type Tensor } from '../onnx/tensor.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import { compile } from './compile.ts';
import { decodeInBands } from './decoder-in-bands.ts';
import { checkFinite } from './finite.ts';
import type { Loadable, Loading, Need, Network } from './loadable.ts';
import { computeOf, countWeights, networkKey, type OpenedModel, onceAnImage } from './opened-model.ts';

/** @param size of the largest image to encode */
export function imageEncoder(model: OpenedModel, size: Size): Loadable<LatentEncoder> {
  const { source, config } = model.components.autoencoder;
  return {
    key: networkKey(model, 'image encoder'),
    need: need(model, encoderBytes(config, size)),
    load: async function* () {
      const build = (compute: Compute) => encoderGraph(source, config, compute);
      const half = { name: 'image encoder', network: 'encoder', source, build } as const;
      return new LatentEncoder(yield* compileOne(model, half), { source, scale: config });
    },
  };
}

/** The `tiny` decoder is faster and less exact. */
export type DecoderName = 'full' | 'tiny';

/** Yields the share of the work that is done wherever the work can be stopped. */
type Decoding = AsyncGenerator<number, Float32Array>;

export type LatentDecoder = Network & {
  /**
   * The transformer's latent [z, h, w] to an image [3, H, W], about [-1, 1].
   *
   * @throws RetouchError `outputNotFinite`
   */
  decode(latent: Float32Array, shape: LatentShape): Decoding;
};

/**
 * The decoder of images up to this size.
 *
 * @throws RetouchError `componentMissing` when `tiny` is asked for and the model has none
 */
export function imageDecoder(model: OpenedModel, size: Size, which: DecoderName): Loadable<LatentDecoder> {
  const { config } = model.components.autoencoder;
  const working = decoderBytes(config, size);
  if (which === 'tiny') return wholeDecoder(model, tinyDecoder(model), working);
  if (model.session.device === 'cpu' && takesBands(config, size)) return decoderInBands(model, size);
  return wholeDecoder(model, fullDecoder(model), working);
}

type Half = {
  name: string;
  network: 'encoder' | 'decoder';
  source: WeightSource;
  build: (compute: Compute) => Graph;
};
type Decoder = Half & { scale: LatentScale };

function wholeDecoder(model: OpenedModel, decoder: Decoder, working: number): Loadable<LatentDecoder> {
  return {
    key: networkKey(model, decoder.name),
    need: need(model, working),
    load: async function* () {
      return new WholeDecoder(yield* compileOne(model, decoder), decoder);
    },
  };
}

/** Its layers are loaded one by one while an image is decoded, so that nothing of it stays. */
function decoderInBands(model: OpenedModel, size: Size): Loadable<LatentDecoder> {
  const { source, config } = model.components.autoencoder;
  const name = 'image decoder in bands';
  const options = { source, config, compute: computeInF32(model, 'decoder'), session: onceAnImage(model) };
  return {
    key: networkKey(model, name),
    need: { bytes: 0, working: decoderInBandsBytes(config, size) },
    load: async function* () {
      return {
        decode: async function* (latent, shape) {
          const image = yield* decodeInBands(
            latentTensor(latent, shape, config),
            options,
            bandRows(config, shape),
          );
          return checkImage(image, { name, source });
        },
        release: async () => {},
      };
    },
  };
}

function fullDecoder({ components }: OpenedModel): Decoder {
  const { source, config } = components.autoencoder;
  const build = (compute: Compute) => decoderGraph(source, config, compute);
  return { name: 'image decoder', network: 'decoder', source, scale: config, build };
}

function tinyDecoder({ components: { tiny }, source: { air } }: OpenedModel): Decoder {
  if (!tiny)
    throw new EngineError(
      'componentMissing',
      `${air} comes without a tiny autoencoder, which decoder 'tiny' needs; 'full' is available`,
      { air },
    );
  const { source, config } = tiny;
  const build = (compute: Compute) => decoderTinyGraph(source, config, compute);
  return { name: 'tiny image decoder', network: 'decoder', source, scale: config, build };
}

/** Weights of both halves in f32 (reason: nn/conv.ts), whichever half is loaded. */
function need({ components }: OpenedModel, working: number): Need {
  return { bytes: 4 * countWeights(components.autoencoder.source), working };
}

async function* compileOne(model: OpenedModel, { name, network, source, build }: Half): Loading<Session> {
  const { half } = yield* compile({
    name,
    source,
    graphs: { half: { build } },
    compute: computeInF32(model, network),
    options: onceAnImage(model),
  });
  return half;
}

function computeInF32(model: OpenedModel, network: Half['network']): Compute {
  return computeOf({ ...model, compute: { ...model.compute, precision: 'f32' } }, network);
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

class WholeDecoder implements LatentDecoder {
  private readonly session: Session;
  private readonly decoder: Decoder;

  constructor(session: Session, decoder: Decoder) {
    this.session = session;
    this.decoder = decoder;
  }

  // biome-ignore lint/correctness/useYield: a single run of the graph cannot be stopped.
  async *decode(latent: Float32Array, shape: LatentShape): Decoding {
    const { image } = await this.session.run({ latent: latentTensor(latent, shape, this.decoder.scale) });
    return checkImage(floats(image!), this.decoder);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}

function latentTensor(latent: Float32Array, { channels, h, w }: LatentShape, scale: LatentScale): Tensor {
  return f32Tensor(unscaleLatent(latent, scale), [1, channels, h, w]);
}

function checkImage(image: Float32Array, { name, source }: Pick<Half, 'name' | 'source'>): Float32Array {
  return checkFinite(image, 'The image', `the ${name} ${source.checkpoint.path}`);
}
