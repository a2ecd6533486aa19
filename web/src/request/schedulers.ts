/** The 75 names of schedulers in families, so that a list can be read. */

import { schedulers } from '../../../src/api/schedulers.ts';

export type SchedulerFamily = { title: string; about: string; names: string[] };

const families = {
  euler: ['Euler', 'One evaluation per step along the flow: the plain method, and the default.'],
  dpmpp: ['DPM++', 'Uses earlier steps to go further with each: good in few steps.'],
  sde: ['Stochastic', 'Adds new noise while it draws: every step changes the picture.'],
  unipc: ['UniPC', 'Predicts, then corrects: good in few steps.'],
  adams: ['Adams–Bashforth', 'Weighs the slopes of earlier steps.'],
  second: ['Second order', 'Two evaluations per step: half the steps in the same time.'],
  consistency: ['Few steps', 'For models distilled to a handful of steps.'],
} as const;

type FamilyName = keyof typeof families;

const familyOf: Readonly<Record<string, FamilyName>> = {
  euler: 'euler',
  'dpmpp-2m': 'dpmpp',
  'dpmpp-3m': 'dpmpp',
  'dpmpp-2s': 'dpmpp',
  deis: 'dpmpp',
  'dpmpp-sde': 'sde',
  'dpmpp-2m-sde': 'sde',
  'dpmpp-3m-sde': 'sde',
  'euler-ancestral': 'sde',
  'dpm2-ancestral': 'sde',
  ddpm: 'sde',
  'unipc-2': 'unipc',
  'unipc-3': 'unipc',
  lms: 'adams',
  ipndm: 'adams',
  pndm: 'adams',
  heun: 'second',
  dpm2: 'second',
  lcm: 'consistency',
  tcd: 'consistency',
};

type Known = { sampler: string; sigmas: string };
const known = schedulers as Readonly<Record<string, Known>>;

/** Groups the names that the server accepts. An unknown name is listed with Euler's. */
export function groupSchedulers(names: readonly string[]): SchedulerFamily[] {
  const of = (name: string) => familyOf[known[name]?.sampler ?? 'euler'] ?? 'euler';
  return (Object.keys(families) as FamilyName[])
    .map((family) => ({
      title: families[family][0],
      about: families[family][1],
      names: names.filter((name) => of(name) === family),
    }))
    .filter((family) => family.names.length > 0);
}

/** `dpmpp-2m over Karras sigmas`; undefined for a name that this page does not know. */
export function explainScheduler(name: string): string | undefined {
  const found = known[name];
  return found && `${found.sampler} over ${found.sigmas} sigmas`;
}

/** The first name, and so the plainest, of a sampler and its sigmas. */
export function nameScheduler({ sampler, sigmas }: Known): string | undefined {
  if (sampler === 'euler' && sigmas === 'shifted') return 'Default';
  return Object.keys(known).find(
    (name) => known[name]!.sampler === sampler && known[name]!.sigmas === sigmas,
  );
}
