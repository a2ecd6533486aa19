/** One double and one single block of FLUX.1 at real width, on the CPU. */
import path from 'node:path';
import type { Measurable } from '../src/engine/forecast/rates.ts';
import { doubleBlock, singleBlock } from '../src/engine/models/flux.ts';
import type { FluxConfig } from '../src/engine/models/flux-config.ts';
import { addDims, type Dim, symbol } from '../src/engine/onnx/dim.ts';
import { Graph } from '../src/engine/onnx/graph.ts';
import { Session } from '../src/engine/onnx/session.ts';
import { f32Tensor, type Tensor } from '../src/engine/onnx/tensor.ts';
import { openPrepared, type PreparedWeights } from '../src/engine/weights/prepared.ts';
import { type Compute, Weights } from '../src/engine/weights/weights.ts';
import { productCeiling } from './ceiling.ts';
import { type Options, type Row, round } from './measure.ts';
import { inTurns, peerColumns } from './peers.ts';
import { blockOperations, type Synthetic, syntheticFlux } from './widths.ts';

const textTokens = 256;

export const blockPrecisions = ['f32', 'int8', 'int8-blocks', 'int4'] as const satisfies Measurable[];
export const blockTokens: readonly number[] = [768, 2304, 4608, 8704];
export type BlockSettings = {
  tokens: readonly number[];
  precisions: readonly (typeof blockPrecisions)[number][];
};

export async function block(options: Options): Promise<Row[]> {
  const synthetic = syntheticFlux(1, 2);
  const rows: Row[] = [];
  for (const product of options.block.precisions)
    for (const kind of ['double', 'single'] as const) {
      const compute = { precision: product, fused: true };
      const prepared = await prepare(synthetic, kind, product);
      const session = await Session.compile(buildGraph(synthetic, kind, compute, prepared), {
        device: 'cpu',
        threads: options.threads,
      });
      for (const tokens of options.block.tokens) {
        const feeds = inputs(synthetic.config, kind, tokens);
        const { milliseconds, peers } = await inTurns(() => session.run(feeds), options.peers, {
          runs: options.runs,
          work: { block: kind, tokens, textTokens, threads: options.threads },
        });
        const found = await row(product, kind, tokens, milliseconds, synthetic.config, options);
        rows.push({ ...found, ...peerColumns(peers, milliseconds / 1000) });
      }
      await session.release();
    }
  return rows;
}

const ceilings = new Map<string, number>();

async function row(
  product: Measurable,
  kind: string,
  tokens: number,
  milliseconds: number,
  config: FluxConfig,
  options: Options,
): Promise<Row> {
  const key = `${product} ${tokens}`;
  const ceiling = ceilings.get(key) ?? (await productCeiling(product, tokens, options));
  ceilings.set(key, ceiling);
  const speed = blockOperations(config, tokens) / milliseconds / 1e6;
  return {
    block: kind,
    precision: product,
    tokens,
    ms: round(milliseconds),
    'GFLOP/s': round(speed),
    'product ceiling GFLOP/s': round(ceiling),
    'share %': round((100 * speed) / ceiling),
  };
}

function buildGraph(
  { source, config }: Synthetic,
  kind: string,
  compute: Compute,
  prepared?: PreparedWeights,
): Graph {
  const graph = new Graph(kind);
  const w = new Weights(graph, source, compute, prepared);
  const { hidden, heads } = config;
  const half = hidden / heads / 2;
  const all = kind === 'single' ? symbol('all') : undefined;
  const [img, txt] = [symbol('img'), textTokens];
  const pe = (tokens: Dim) => ({
    cos: graph.input('cos', 'f32', [tokens, half]),
    sin: graph.input('sin', 'f32', [tokens, half]),
  });
  const vec = graph.input('vec', 'f32', [1, hidden]);
  if (all) {
    const x = graph.input('x', 'f32', [all, hidden]);
    graph.output('out', singleBlock(x, vec, pe(all), w.at('single_blocks.0'), config));
    return graph;
  }
  const x = graph.input('img', 'f32', [img, hidden]);
  const t = graph.input('txt', 'f32', [txt, hidden]);
  const [outImg, outTxt] = doubleBlock(x, t, vec, pe(addDims(img, txt)), w.at('double_blocks.0'), config);
  graph.output('out_img', outImg);
  graph.output('out_txt', outTxt);
  return graph;
}

async function prepare(
  synthetic: Synthetic,
  kind: string,
  product: Measurable,
): Promise<PreparedWeights | undefined> {
  const { linears } = buildGraph(synthetic, kind, { precision: 'f32', fused: true });
  const making = openPrepared(synthetic.source, linears, {
    precision: product,
    file: path.join(synthetic.folder, `${kind}-${product}.safetensors`),
  });
  for (;;) {
    const next = await making.next();
    if (next.done) return next.value;
  }
}

function inputs({ hidden, heads }: FluxConfig, kind: string, tokens: number): Record<string, Tensor> {
  const half = hidden / heads / 2;
  const values = (rows: number, width: number, phase: number) =>
    f32Tensor(
      Float32Array.from({ length: rows * width }, (_, i) => Math.sin(i * 0.37 + phase)),
      [rows, width],
    );
  const shared = { vec: values(1, hidden, 1), cos: values(tokens, half, 2), sin: values(tokens, half, 3) };
  if (kind === 'single') return { ...shared, x: values(tokens, hidden, 4) };
  return { ...shared, img: values(tokens - textTokens, hidden, 4), txt: values(textTokens, hidden, 5) };
}
