/** Runs the checks of those golden files that a folder has. */
import fs from 'node:fs';
import path from 'node:path';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { clipDialects } from '../../src/engine/weights/dialects/clip.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import type { Dialect } from '../../src/engine/weights/dialects/index.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { openSafetensors } from '../../src/engine/weights/safetensors.ts';
import { type Lines, weightFiles } from './checks/check.ts';
import { checkFlux } from './checks/flux.ts';
import { checkAutoencoder, checkClip, checkT5 } from './checks/networks.ts';
import { checkLanczos } from './checks/pictures.ts';
import { checkNoise, checkRng } from './checks/random.ts';
import { checkSchedule } from './checks/schedule.ts';
import { checkSchedulers } from './checks/schedulers.ts';
import { block, loop } from './tolerance.ts';

type NetworkCheck = (file: string, io: string, label: string) => Lines;

const networks: [dialects: readonly Dialect[], check: NetworkCheck][] = [
  [
    fluxDialects,
    (file, io, label) => checkFlux(file, io, label, { block, loop }, { device: 'cpu', fused: true }),
  ],
  [autoencoderDialects, checkAutoencoder],
  [clipDialects, checkClip],
  [t5Dialects, checkT5],
];

const files: Record<string, (file: string) => Lines> = {
  'noise.safetensors': checkNoise,
  'pil_lanczos.safetensors': checkLanczos,
  'rng.json': checkRng,
  'schedule.json': checkSchedule,
  'schedulers.json': checkSchedulers,
};

export async function* checkFolder(folder: string): Lines {
  const found = new Set<NetworkCheck>();
  for (const { file, io, label } of weightFiles(folder)) {
    const names = new Set(openSafetensors(file).tensors.keys());
    const network = networks.find(([dialects]) => dialects.some((dialect) => dialect.matches(names)));
    if (!network) yield { name: label, skipped: 'its tensors are those of no network here' };
    else {
      found.add(network[1]);
      yield* network[1](file, io, label);
    }
  }
  const kinds = ['transformer', 'autoencoder', 'CLIP', 'T5'];
  for (const [i, [, check]] of networks.entries())
    if (!found.has(check))
      yield { name: kinds[i]!, skipped: 'the folder has no such weights with an _io file' };
  for (const [name, check] of Object.entries(files)) {
    const file = path.join(folder, name);
    if (fs.existsSync(file)) yield* check(file);
    else yield { name, skipped: 'the folder has no such file' };
  }
}
