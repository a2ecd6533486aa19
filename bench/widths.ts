/** A real-width FLUX transformer with random weights on disk, and the operation counts of its parts. */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { type FluxConfig, fluxConfig } from '../src/engine/models/flux-config.ts';
import { openCheckpoint } from '../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../src/engine/weights/dialects/flux.ts';
import { WeightSource } from '../src/engine/weights/source.ts';
import { fluxShapes, realWidth, writeSynthetic } from './synthetic.ts';

export type Synthetic = { source: WeightSource; config: FluxConfig; folder: string };

/** Written once to the temporary folder (2.5 GB of f32 for one double and two single blocks). */
export function syntheticFlux(depth: number, depthSingle: number): Synthetic {
  const folder = path.join(os.tmpdir(), 'retouch-bench');
  const file = path.join(folder, `flux-${depth}-${depthSingle}-f32.safetensors`);
  fs.mkdirSync(folder, { recursive: true });
  if (!fs.existsSync(file)) {
    const partial = `${file}.${process.pid}.partial`;
    writeSynthetic(partial, fluxShapes(realWidth(depth, depthSingle)));
    fs.renameSync(partial, file);
  }
  const source = new WeightSource(openCheckpoint(file), fluxDialects);
  return { source, config: fluxConfig(source), folder };
}

/** Operations (a multiplication and an addition are two) of one block over S tokens, modulation left out. */
export function blockOperations({ hidden, mlp }: FluxConfig, tokens: number): number {
  const perToken = hidden * 3 * hidden + hidden * hidden + 2 * hidden * mlp;
  return 2 * tokens * perToken + 4 * tokens * tokens * hidden;
}
