import { ddpm } from './ddpm.ts';
import { deis } from './deis.ts';
import { dpm2 } from './dpm2.ts';
import { dpm2Ancestral } from './dpm2-ancestral.ts';
import { dpmpp } from './dpmpp.ts';
import { dpmppSde } from './dpmpp-sde.ts';
import { dpmppSinglestep } from './dpmpp-singlestep.ts';
import { euler } from './euler.ts';
import { eulerAncestral } from './euler-ancestral.ts';
import { heun } from './heun.ts';
import { ipndm } from './ipndm.ts';
import { lcm } from './lcm.ts';
import { lms } from './lms.ts';
import { pndm } from './pndm.ts';
import { tcd } from './tcd.ts';
import type { Sampler, SamplerEntry } from './types.ts';
import { unipc } from './unipc.ts';

export type { Sampler, SamplerEntry, Step, Velocity } from './types.ts';

/** Evaluations of the network in a run, by the number of its steps. */
const once = (steps: number) => steps;
const twice = (steps: number) => 2 * steps - 1;

type Facts = Pick<SamplerEntry, 'title' | 'order' | 'converges'> &
  Partial<Pick<SamplerEntry, 'evaluations' | 'distilled'>>;

function ode(run: Sampler, facts: Facts): SamplerEntry {
  return { evaluations: once, distilled: false, ...facts, run, stochastic: false };
}

function sde(run: Sampler, facts: Facts): SamplerEntry {
  return { ...ode(run, facts), stochastic: true };
}

/** Every sampler by its name in a Plan, with the facts that docs/reference/schedulers.md is written from. */
export const samplers = {
  euler: ode(euler, {
    title: 'Euler; also what DDIM and first-order DPM-Solver++ are on a flow',
    order: '1',
    converges: 1,
  }),
  heun: ode(heun, { title: 'Heun', order: '2', converges: 2, evaluations: twice }),
  dpm2: ode(dpm2, {
    title: 'DPM-Solver-2, the midpoint in log σ',
    order: '2',
    converges: 2,
    evaluations: twice,
  }),
  lms: ode(lms, { title: 'Linear multistep (Adams-Bashforth on uneven levels)', order: '1→4', converges: 2 }),
  ipndm: ode(ipndm, {
    title: 'Pseudo linear multistep (Adams-Bashforth with fixed weights)',
    order: '1→4',
    converges: 2,
  }),
  pndm: ode(pndm, {
    title: 'The same with a first step by Heun (PLMS)',
    order: '2→4',
    converges: 3,
    evaluations: (steps) => (steps > 1 ? steps + 1 : 1),
  }),
  'dpmpp-2m': ode(dpmpp(2), {
    title: 'DPM-Solver++ over two steps, midpoint form',
    order: '2',
    converges: 2,
  }),
  'dpmpp-3m': ode(dpmpp(3), { title: 'DPM-Solver++ over three steps', order: '3', converges: 2 }),
  'dpmpp-2s': ode(dpmppSinglestep(2), {
    title: 'DPM-Solver++ in pairs of steps (singlestep)',
    order: '2',
    converges: 2,
  }),
  'unipc-2': ode(unipc(2), { title: 'UniPC, predictor and corrector of order 2', order: '2', converges: 3 }),
  'unipc-3': ode(unipc(3), { title: 'UniPC, predictor and corrector of order 3', order: '3', converges: 4 }),
  deis: ode(deis(2), { title: 'DEIS in log ρ', order: '2', converges: 2 }),
  'euler-ancestral': sde(eulerAncestral, {
    title: 'Euler with fresh noise after every step, split as a rectified flow needs',
    order: '1',
    converges: 1,
  }),
  'dpm2-ancestral': sde(dpm2Ancestral, {
    title: 'DPM-Solver-2 with fresh noise after every step',
    order: '2',
    converges: 2,
    evaluations: twice,
  }),
  ddpm: sde(ddpm, {
    title: 'A draw from the posterior of the flow; the same step as `dpmpp-sde`',
    order: '1',
    converges: 1,
  }),
  'dpmpp-sde': sde(dpmppSde(1), { title: 'DPM-Solver++ on the SDE, first order', order: '1', converges: 1 }),
  'dpmpp-2m-sde': sde(dpmppSde(2), {
    title: 'DPM-Solver++ on the SDE over two steps',
    order: '2',
    converges: 2,
  }),
  'dpmpp-3m-sde': sde(dpmppSde(3), {
    title: 'DPM-Solver++ on the SDE over three steps',
    order: '3',
    converges: 2,
  }),
  lcm: sde(lcm, {
    title: 'Latent consistency sampling: the predicted picture, noised anew',
    order: '1',
    converges: 0,
    distilled: true,
  }),
  tcd: sde(tcd, {
    title: 'Trajectory consistency sampling, γ = 0.3',
    order: '1',
    converges: 0,
    distilled: true,
  }),
} satisfies Record<string, SamplerEntry>;

export type SamplerName = keyof typeof samplers;
