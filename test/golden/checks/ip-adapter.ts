/** The transformer under IP-Adapters against diffusers': test/data/reference/ip_adapter.py made adapters and velocities. */
import path from 'node:path';
import { type AdapterLayers, joinAdapters } from '../../../src/engine/adapters/ip-adapter/image-prompt.ts';
import { openIpAdapter } from '../../../src/engine/adapters/ip-adapter/index.ts';
import { IpAdapter } from '../../../src/engine/adapters/ip-adapter/network.ts';
import { embedScalings } from '../../../src/engine/adapters/ip-adapter/scaling.ts';
import { fluxConfig } from '../../../src/engine/models/flux-config.ts';
import { type Conditioning, Transformer } from '../../../src/engine/networks/transformer.ts';
import type { DeviceName } from '../../../src/engine/onnx/device.ts';
import { f32Tensor } from '../../../src/engine/onnx/tensor.ts';
import { openCheckpoint } from '../../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../../src/engine/weights/dialects/flux.ts';
import { joinFloats } from '../../../src/engine/weights/floats.ts';
import { WeightSource } from '../../../src/engine/weights/source.ts';
import type { Compute } from '../../../src/engine/weights/weights.ts';
import { printRelativeL2 } from '../compare.ts';
import { goldenFile, openGolden } from '../data.ts';
import { type Compared, compared, Tensors } from './check.ts';
import { finish } from './flux.ts';

const adapterFile = (name: string) =>
  path.join(import.meta.dirname, '../../data/ip-adapter', `${name}.safetensors`);

/** The small transformer of ../data/golden with its inputs, on a device. */
export class GuidedTransformer {
  private readonly io = openGolden('flux_tiny_io.safetensors');
  readonly expected = new Tensors(adapterFile('adapters_io'));
  private readonly setup: { device: DeviceName; fused: boolean };
  private readonly transformer: Transformer;

  private constructor(transformer: Transformer, setup: { device: DeviceName; fused: boolean }) {
    this.transformer = transformer;
    this.setup = setup;
  }

  static async load(
    setup: { device: DeviceName; fused: boolean },
    cached?: Pick<Compute, 'precision'> & { preparedFile: string },
  ): Promise<GuidedTransformer> {
    const source = new WeightSource(openCheckpoint(goldenFile('flux_tiny.safetensors')), fluxDialects);
    const places = ['attention', 'residual'] as const;
    const { precision = 'f32', ...file } = cached ?? {};
    const compute = { precision, fused: setup.fused, places } as const;
    const options = { device: setup.device, threads: 1, ...file };
    const loading = Transformer.load({ source, config: fluxConfig(source) }, compute, options);
    return new GuidedTransformer(await finish(loading), setup);
  }

  /** Guide pictures as CLIP and SigLIP would see them. */
  get pictures(): { clip: Float32Array[]; siglip: Float32Array[] } {
    const clip = this.expected.floats('clip');
    return {
      clip: [0, 1, 2].map((i) => clip.subarray(24 * i, 24 * (i + 1))),
      siglip: [this.expected.floats('siglip')],
    };
  }

  async layersOf(name: string, features: Float32Array[], weight: number): Promise<AdapterLayers> {
    const { config } = this.transformer;
    const adapter = openIpAdapter(adapterFile(name), { ...config, features: features[0]!.length });
    const compute = { precision: 'f32', fused: this.setup.fused } as const;
    const options = { device: this.setup.device, threads: 1 };
    const network = await finish(IpAdapter.load({ open: adapter, heads: config.heads }, compute, options));
    const layers = await network.project(features);
    await network.release();
    return {
      place: adapter.format.place,
      layers: layers.map((layer) => embedScalings.only_v(layer, weight)),
    };
  }

  velocity(adapters: readonly AdapterLayers[], references = true): Promise<Float32Array> {
    const { io } = this;
    const { config } = this.transformer;
    const ids = [io.floats('txt_ids'), io.floats('img_ids'), ...(references ? [io.floats('ref_ids')] : [])];
    const context = io.floats('txt');
    const given: Conditioning = {
      context: f32Tensor(context, [context.length / config.contextIn, config.contextIn]),
      pooled: f32Tensor(io.floats('vec'), [1, config.vecIn]),
      references: references ? io.floats('ref_img') : new Float32Array(0),
      ids: joinFloats(ids),
      guidance: 1000 * io.floats('ref.guidance')[0]!,
      imagePrompt: joinAdapters(adapters, config),
    };
    return this.transformer.velocity({ x: io.floats('img'), time: 1000 * io.floats('ref.t')[0]! }, given);
  }

  compare(name: string, found: Float32Array, tolerance: number): Compared {
    const line = compared(name, found, this.expected.floats(name), tolerance);
    printRelativeL2(`IP-Adapter, ${line.name}`, line.relativeL2);
    return line;
  }

  release(): Promise<void> {
    return this.transformer.release();
  }
}
