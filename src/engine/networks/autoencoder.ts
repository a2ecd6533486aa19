/** The autoencoder's two halves, each loaded only when it is needed, and the tiny decoder. */
import { EngineError } from '../errors.ts';
import type { Size } from '../image/sizes.ts';
import { type LatentScale, type LatentShape, scaleLatent, unscaleLatent } from '../latents/packing.ts';
import { decoderGraph, decoderInBandsGraph, encoderGraph } from '../models/autoencoder.ts';
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
import { f32Tensor, floats, tensor } from '../onnx/tensor.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import { compile } from './compile.ts';
import { checkFinite } from './finite.ts';
import type { Loadable, Loading, Need } from './loadable.ts';
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

/**
 * The same decoder in the forms that the model has, the fastest first; later ones need less memory.
 *
 * @throws RetouchError `componentMissing` when `tiny` is asked for and the model has none
 */
export function imageDecoders(
  model: OpenedModel,
  size: Size,
  which: DecoderName,
): [Loadable<LatentDecoder>, ...Loadable<LatentDecoder>[]] {
  const { config } = model.components.autoencoder;
  const whole = decoderBytes(config, size);
  if (which === 'tiny') return [loadable(model, tinyDecoder(model), whole)];
  const full = loadable(model, fullDecoder(model), whole);
  if (model.session.device !== 'cpu' || !takesBands(config)) return [full];
  return [full, loadable(model, decoderInBands(model), decoderInBandsBytes(config, size))];
}

type Half = {
  name: string;
  network: 'encoder' | 'decoder';
  source: WeightSource;
  build: (compute: Compute) => Graph;
};
type Decoder = Half & {
  scale: LatentScale;
  /** Rows of the latent to decode at a time, where the graph takes them. */
  rows?: (latent: LatentShape) => number;
};

function loadable(model: OpenedModel, decoder: Decoder, working: number): Loadable<LatentDecoder> {
  return {
    key: networkKey(model, decoder.name),
    need: need(model, working),
    load: async function* () {
      return new LatentDecoder(yield* compileOne(model, decoder), decoder);
    },
  };
}

function fullDecoder({ components }: OpenedModel): Decoder {
  const { source, config } = components.autoencoder;
  const build = (compute: Compute) => decoderGraph(source, config, compute);
  return { name: 'image decoder', network: 'decoder', source, scale: config, build };
}

function decoderInBands({ components }: OpenedModel): Decoder {
  const { source, config } = components.autoencoder;
  const build = (compute: Compute) => decoderInBandsGraph(source, config, compute);
  const rows = (latent: LatentShape) => bandRows(config, latent);
  return { name: 'image decoder in bands', network: 'decoder', source, scale: config, build, rows };
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
  const f32 = { ...model, compute: { ...model.compute, precision: 'f32' } } as const;
  const compute = computeOf(f32, network);
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
  async decode(latent: Float32Array, shape: LatentShape): Promise<Float32Array> {
    const { name, source, scale, rows } = this.decoder;
    const { channels, h, w } = shape;
    const { image } = await this.session.run({
      latent: f32Tensor(unscaleLatent(latent, scale), [1, channels, h, w]),
      ...(rows ? { rows: tensor('i64', BigInt64Array.of(BigInt(rows(shape))), [1]) } : {}),
    });
    return checkFinite(floats(image!), 'The image', `the ${name} ${source.checkpoint.path}`);
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
