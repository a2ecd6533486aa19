/** Spacings and samplers on a known flow: schedulers.json. */
import fs from 'node:fs';
import { deis } from '../../../src/engine/samplers/deis.ts';
import { dpmppSde } from '../../../src/engine/samplers/dpmpp-sde.ts';
import { dpmppSinglestep } from '../../../src/engine/samplers/dpmpp-singlestep.ts';
import { type Sampler, samplers, type Velocity } from '../../../src/engine/samplers/index.ts';
import { betaQuantile } from '../../../src/engine/sigmas/beta.ts';
import { fluxShift, resolutionShift, type Sigmas, sigmas } from '../../../src/engine/sigmas/index.ts';
import { sampler as samplerTolerance, sigma as sigmaTolerance } from '../tolerance.ts';
import { compared, type Lines } from './check.ts';

/** The file's name of a spacing → ours; those `unshifted` are the same with a shift of nothing. */
const spacings: Record<string, Sigmas> = {
  default: sigmas.shifted.levels,
  karras: sigmas.karras.levels,
  exponential: sigmas.exponential.levels,
  beta: sigmas.beta.levels,
  edm: sigmas.edm.levels,
};

type Algorithm = {
  run: Sampler;
  /** Indices of the file's samples that follow a complete step, if not all do. */
  pick?: (samples: number[][]) => number[][];
  /** Tolerance for diffusers' own float32 arithmetic, where its error is larger than elsewhere. */
  tolerance?: number;
};

/** diffusers' float32 holds 1-σ at σ = 1-1e-6 to two digits; measured on other levels: at most 7e-6. */
const belowOne = 2e-5;

/** The name of a trajectory begins with one of these; the longest counts. What is after it is about the reference. */
const algorithms: Record<string, Algorithm> = {
  FlowMatchEuler: samplers.euler,
  // Both evaluations of every step are in the file, the predicted sample first.
  FlowMatchHeun: {
    ...samplers.heun,
    pick: (samples) => samples.filter((_, i) => i % 2 === 1 || i === samples.length - 1),
  },
  FlowMatchLCM: samplers.lcm,
  LTXEulerAncestralRF: samplers['euler-ancestral'],
  'DPMSolverMultistep o1': samplers.euler,
  'DPMSolverMultistep o2 midpoint': samplers['dpmpp-2m'],
  'DPMSolverMultistep o3': samplers['dpmpp-3m'],
  'DPMSolverMultistep o1 sde': samplers['dpmpp-sde'],
  'DPMSolverMultistep o2 sde midpoint': samplers['dpmpp-2m-sde'],
  'DPMSolverMultistep o2 sde heun': { run: dpmppSde(2, 'heun') },
  'DPMSolverSinglestep o2': { ...samplers['dpmpp-2s'], tolerance: belowOne },
  'DPMSolverSinglestep o3': { run: dpmppSinglestep(3), tolerance: belowOne },
  'UniPC o2 bh2': { ...samplers['unipc-2'], tolerance: belowOne },
  'UniPC o3 bh2': { ...samplers['unipc-3'], tolerance: belowOne },
  // 1/(1-σ) is 1000 in the first steps, and loses three of float32's digits.
  'DEIS o2': { ...samplers.deis, tolerance: 1e-4 },
  'DEIS o3': { run: deis(3), tolerance: 1e-4 },
  // diffusers integrates its polynomial through to σ = 0, where we and k-diffusion take the predicted image.
  'LMSDiscrete o4': { ...samplers.lms, pick: (samples) => samples.slice(0, -1) },
  'REF DPM2 (KDPM2)': samplers.dpm2,
  'REF DPM2 ancestral RF': samplers['dpm2-ancestral'],
  'REF Euler ancestral RF': samplers['euler-ancestral'],
  'REF TCD gamma=0.3': samplers.tcd,
  'REF LCM': samplers.lcm,
  'REF IPNDM o4': samplers.ipndm,
  'REF PNDM': samplers.pndm,
  'REF DDPM': samplers.ddpm,
  'REF k-diffusion DPM++ 2M SDE midpoint': samplers['dpmpp-2m-sde'],
  'REF k-diffusion DPM++ 3M SDE': samplers['dpmpp-3m-sde'],
};

export async function* checkSchedulers(file: string): Lines {
  const table = JSON.parse(fs.readFileSync(file, 'utf8')) as Record<string, unknown>;
  for (const [key, value] of Object.entries(table)) {
    if (key === 'source' || key === 'toy') continue;
    if (key === 'mu') yield* checkMu(value as Record<string, number>);
    else if (key === 'sigmas') yield* checkSigmas(value as Record<string, number[]>);
    else if (key.startsWith('edm_karras_n')) yield* checkEdm(key, value as number[]);
    else if (key.startsWith('beta_ppf_0.6_0.6')) yield* checkQuantiles(value as Record<string, number>);
    else if (key.startsWith('trajectories_'))
      yield* checkTrajectories(key, value as Record<string, number[][]>, table.toy as Toy);
    else yield { name: `schedulers ${key}`, skipped: 'the key says nothing this command checks' };
  }
}

async function* checkMu(table: Record<string, number>): Lines {
  for (const [tokens, mu] of Object.entries(table)) {
    const found = resolutionShift(Number(tokens), fluxShift);
    yield compared(`schedulers mu of ${tokens} tokens`, [found], [mu], 1e-12);
  }
}

async function* checkSigmas(table: Record<string, number[]>): Lines {
  for (const [key, expected] of Object.entries(table)) {
    const name = `schedulers sigmas ${key}`;
    const levels = levelsOf(key);
    if (levels) yield compared(name, levels, expected, sigmaTolerance);
    else yield { name, skipped: 'there is no such spacing' };
  }
}

/** n<steps>_mu<mu>_<spacing> or n<steps>_unshifted_<spacing>. */
function levelsOf(key: string): Float64Array | undefined {
  const [, steps, mu = 0, spacing] = key.match(/^n(\d+)_(?:mu([\d.]+)|unshifted)_(\w+)$/) ?? [];
  return spacings[spacing ?? '']?.(Number(steps), Number(mu));
}

/** The file has the EDM levels as they are, and ours begin at pure noise: the first is left out. */
async function* checkEdm(key: string, expected: number[]): Lines {
  const [, steps, form] = key.match(/^edm_karras_n(\d+)_(flow|sigma_v)$/) ?? [];
  const levels = [...sigmas.edm.levels(Number(steps), 0)];
  const found = form === 'flow' ? levels : levels.slice(0, -1).map((sigma) => sigma / (1 - sigma));
  yield compared(`schedulers ${key}`, found.slice(1, expected.length), expected.slice(1), 1e-12);
}

async function* checkQuantiles(table: Record<string, number>): Lines {
  for (const [probability, expected] of Object.entries(table))
    yield compared(
      `schedulers quantile ${probability}`,
      [betaQuantile(Number(probability))],
      [expected],
      1e-12,
    );
}

async function* checkTrajectories(key: string, paths: Record<string, number[][]>, toy: Toy): Lines {
  const levels = levelsOf(key.replace(/^trajectories_/, ''));
  for (const [label, all] of Object.entries(paths)) {
    const name = `schedulers ${key} ${label}`;
    const algorithm = algorithmOf(label);
    if (!algorithm || !levels) {
      yield { name, skipped: algorithm ? 'there is no such spacing' : 'there is no such sampler' };
      continue;
    }
    const { run, pick = (samples) => samples, tolerance = samplerTolerance } = algorithm;
    const expected = pick(all);
    const found = await walk(run, startingAt(levels, label), toy);
    yield compared(name, found.slice(0, expected.length).flat(), expected.flat(), tolerance);
  }
}

export function algorithmOf(label: string): Algorithm | undefined {
  const known = Object.keys(algorithms).filter((name) => label.startsWith(name));
  const longest = known.sort((a, b) => b.length - a.length)[0];
  return longest === undefined ? undefined : algorithms[longest];
}

/** Formulas that cannot start at 1 got another first level, which is in the name: (sigma0=1-1e-6). */
function startingAt(levels: Float64Array, label: string): Float64Array {
  const [, whole, less] = label.match(/sigma0=(1-)?([\d.e-]+)/) ?? [];
  if (less === undefined) return levels;
  return Float64Array.from([whole ? 1 - Number(less) : Number(less), ...levels.subarray(1)]);
}

type Toy = { def: string; x: number[]; noise_per_step: number[][] };

/** Every step of a sampler on the flow to a Gaussian of mean m and deviation k, whose velocity is known. */
async function walk(
  run: Sampler,
  levels: Float64Array,
  { def, x, noise_per_step }: Toy,
): Promise<number[][]> {
  const stated = (name: string) => Number(def.match(`\\b${name}=(-?[\\d.]+)`)?.[1]);
  const [m, k] = [stated('m'), stated('k')];
  const velocity: Velocity = async (samples, sigma) => {
    const a = 1 - sigma;
    return samples.map((value) => {
      const x0 = m + ((a * k * k) / (a * a * k * k + sigma * sigma)) * (value - a * m);
      return (value - x0) / sigma;
    });
  };
  let drawn = 0;
  const noise = () => Float32Array.from(noise_per_step[drawn++]!);
  const found: number[][] = [];
  for await (const step of run(velocity, Float32Array.from(x), { sigmas: levels, noise }))
    found.push([...step.x]);
  return found;
}
