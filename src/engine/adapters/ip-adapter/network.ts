/** An IP-Adapter (Ye et al., arXiv 2308.06721) ready to run: features of guide pictures to keys and values. */

import { compile, type Progress, releaseAll } from '../../networks/compile.ts';
import type { Session, SessionOptions } from '../../onnx/session.ts';
import { f32Tensor, floats } from '../../onnx/tensor.ts';
import { joinFloats } from '../../weights/floats.ts';
import type { Compute } from '../../weights/weights.ts';
import { ipAdapterGraph } from './graph.ts';
import type { OpenIpAdapter } from './index.ts';
import type { KeyValue } from './scaling.ts';

export class IpAdapter {
  private readonly open: OpenIpAdapter;
  private readonly session: Session;

  private constructor(open: OpenIpAdapter, session: Session) {
    this.open = open;
    this.session = session;
  }

  /** @param headDim width of one head of the transformer */
  static async *load(
    open: OpenIpAdapter,
    headDim: number,
    compute: Compute,
    options: SessionOptions,
  ): AsyncGenerator<Progress, IpAdapter> {
    const builders = { adapter: { build: (compute: Compute) => ipAdapterGraph(open, headDim, compute) } };
    const { adapter } = yield* compile(
      'the IP-Adapter',
      open.source,
      builders,
      { ...compute, product: 'f32' },
      options,
      '',
    );
    return new IpAdapter(open, adapter);
  }

  /** Encoded pictures [E] each to keys and values of all their tokens, block by block. */
  async project(features: readonly Float32Array[]): Promise<KeyValue[]> {
    const { layers, hidden, features: width } = this.open.config;
    const all = f32Tensor(joinFloats(features), [features.length, width]);
    const results = await this.session.run({ features: all });
    return Array.from({ length: layers }, (_, i) => ({
      key: floats(results[`k.${i}`]!),
      value: floats(results[`v.${i}`]!),
      width: hidden,
    }));
  }

  release(): Promise<void> {
    return releaseAll({ session: this.session });
  }
}
