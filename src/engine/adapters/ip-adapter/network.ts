/** An IP-Adapter (Ye et al., arXiv 2308.06721) as a network: features of guide images to keys and values of every block. */

import type { LoadOptions } from '../../networks/compile.ts';
import { compile } from '../../networks/compile.ts';
import { checkTool } from '../../networks/finite.ts';
import type { Loadable, Loading } from '../../networks/loadable.ts';
import { countWeights, type OpenedModel } from '../../networks/opened-model.ts';
import type { Session } from '../../onnx/session.ts';
import { f32Tensor, floats } from '../../onnx/tensor.ts';
import { joinFloats } from '../../weights/floats.ts';
import type { Compute } from '../../weights/weights.ts';
import { ipAdapterGraph } from './graph.ts';
import type { OpenIpAdapter } from './index.ts';
import type { KeyValue } from './scaling.ts';
import { type IpAdapterUse, imagePromptTokens } from './use.ts';

export function ipAdapter(model: OpenedModel, use: IpAdapterUse): Loadable<IpAdapter> {
  const { session, compute, components } = model;
  const { planned, adapter } = use;
  const { layers, hidden } = adapter.config;
  const { heads } = components.transformer.config;
  return {
    key: `IP-Adapter ${planned.air} (f32 on ${session.device}, ${planned.file})`,
    need: { bytes: 4 * countWeights(adapter.source), working: 8 * layers * hidden * imagePromptTokens(use) },
    load: () => IpAdapter.load({ open: adapter, heads }, compute, { ...session, arena: false }),
  };
}

export class IpAdapter {
  private readonly open: OpenIpAdapter;
  private readonly session: Session;

  private constructor(open: OpenIpAdapter, session: Session) {
    this.open = open;
    this.session = session;
  }

  /** @param heads of the transformer's attention */
  static async *load(
    { open, heads }: { open: OpenIpAdapter; heads: number },
    compute: Compute,
    options: LoadOptions,
  ): Loading<IpAdapter> {
    const headDim = open.config.hidden / heads;
    const { adapter } = yield* compile({
      name: 'the IP-Adapter',
      source: open.source,
      graphs: { adapter: { build: (compute) => ipAdapterGraph(open, headDim, compute) } },
      compute: { ...compute, precision: 'f32' },
      options,
    });
    return new IpAdapter(open, adapter);
  }

  /** Features [E] of one or several images to keys and values of all their tokens, block by block. */
  async project(features: readonly Float32Array[]): Promise<KeyValue[]> {
    const { layers, hidden, features: width } = this.open.config;
    const who = `the IP-Adapter ${this.open.source.checkpoint.path}`;
    const all = f32Tensor(joinFloats(features), [features.length, width]);
    const results = await this.session.run({ features: all });
    return Array.from({ length: layers }, (_, i) => ({
      key: checkTool(floats(results[`k.${i}`]!), 'A key', who),
      value: checkTool(floats(results[`v.${i}`]!), 'A value', who),
      width: hidden,
    }));
  }

  release(): Promise<void> {
    return this.session.release();
  }
}
