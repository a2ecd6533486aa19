/** Seconds per step of a real-width FLUX transformer with one double and two single blocks, editing on the CPU. */
import path from 'node:path';
import { referenceIds, targetIds, textIds } from '../src/engine/latents/token-ids.ts';
import { type Conditioning, Transformer } from '../src/engine/networks/transformer.ts';
import { f32Tensor } from '../src/engine/onnx/tensor.ts';
import { productCeiling } from './ceiling.ts';
import { type Options, type Row, round } from './measure.ts';
import { inTurns, peerColumns } from './peers.ts';
import { blockOperations, syntheticFlux } from './widths.ts';

export const textTokens = 256;
export const layerSides: readonly number[] = [256, 512, 1024];

export async function layers(options: Options): Promise<Row[]> {
  const { source, config, folder } = syntheticFlux(1, 2);
  const rows: Row[] = [];
  for (const precision of options.block.precisions) {
    const loading = Transformer.load(
      { source, config },
      { precision, fused: true },
      {
        device: 'cpu',
        threads: options.threads,
        preparedFile: path.join(folder, `layers-${precision}.safetensors`),
      },
    );
    const transformer = await finish(loading);
    for (const side of options.sides) {
      const grid = { rows: side / 16, columns: side / 16 };
      const image = grid.rows * grid.columns;
      const given = conditioning(grid, config);
      const x = pattern(image * config.inChannels);
      const { milliseconds, peers } = await inTurns(
        () => transformer.velocity({ x, time: 500 }, given),
        options.peers,
        { runs: options.runs, work: { side, textTokens, threads: options.threads } },
      );
      const tokens = textTokens + 2 * image;
      const operations = 3 * blockOperations(config, tokens);
      const speed = operations / milliseconds / 1e6;
      const ceiling = await productCeiling(precision, tokens, options);
      rows.push({
        edit: `${side}² of ${side}²`,
        tokens,
        precision,
        's/step': round(milliseconds / 1000, 2),
        'GFLOP/s': round(speed),
        'ceiling GFLOP/s': round(ceiling),
        'share %': round((100 * speed) / ceiling),
        ...peerColumns(peers, milliseconds / 1000),
      });
    }
    await transformer.release();
  }
  return rows;
}

export function conditioning(
  grid: { rows: number; columns: number },
  config: { contextIn: number; vecIn: number; inChannels: number },
  text = textTokens,
): Conditioning {
  const parts = [textIds(text), targetIds(grid), ...referenceIds([grid], 'offset')];
  return {
    context: f32Tensor(pattern(text * config.contextIn), [text, config.contextIn]),
    pooled: f32Tensor(pattern(config.vecIn), [1, config.vecIn]),
    references: pattern(grid.rows * grid.columns * config.inChannels),
    ids: Float32Array.from(parts.flatMap((part) => [...part])),
    guidance: 2500,
  };
}

export function pattern(length: number): Float32Array {
  return Float32Array.from({ length }, (_, i) => Math.sin(i * 0.37));
}

export async function finish<T>(work: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
  }
}
