import type { Plan } from '../plan.ts';
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

export type { Model, Sampler, SamplerEntry, Step } from './types.ts';

/** Model calls of a run, by the number of its steps. */
const once = (steps: number) => steps;
const twice = (steps: number) => 2 * steps - 1;

function ode(run: Sampler, order: string, converges: number, evaluations = once): SamplerEntry {
  return { run, order, converges, evaluations, stochastic: false, distilled: false };
}

function sde(run: Sampler, order: string, converges: number, evaluations = once): SamplerEntry {
  return { run, order, converges, evaluations, stochastic: true, distilled: false };
}

/** Every sampler by its name in a Plan, with what docs/reference/schedulers.md says of it. */
export const samplers = {
  euler: ode(euler, '1', 1),
  heun: ode(heun, '2', 2, twice),
  dpm2: ode(dpm2, '2', 2, twice),
  lms: ode(lms, '1→4', 2),
  ipndm: ode(ipndm, '1→4', 2),
  pndm: ode(pndm, '2→4', 3, (steps) => (steps > 1 ? steps + 1 : 1)),
  'dpmpp-2m': ode(dpmpp(2), '2', 2),
  'dpmpp-3m': ode(dpmpp(3), '3', 2),
  'dpmpp-2s': ode(dpmppSinglestep(2), '2', 2),
  'unipc-2': ode(unipc(2), '2', 3),
  'unipc-3': ode(unipc(3), '3', 4),
  deis: ode(deis(2), '2', 2),
  'euler-ancestral': sde(eulerAncestral, '1', 1),
  'dpm2-ancestral': sde(dpm2Ancestral, '2', 2, twice),
  ddpm: sde(ddpm, '1', 1),
  'dpmpp-sde': sde(dpmppSde(1), '1', 1),
  'dpmpp-2m-sde': sde(dpmppSde(2), '2', 2),
  'dpmpp-3m-sde': sde(dpmppSde(3), '3', 2),
  lcm: { ...sde(lcm, '1', 0), distilled: true },
  tcd: { ...sde(tcd, '1', 0), distilled: true },
} satisfies Record<Plan['sampler'], SamplerEntry>;
