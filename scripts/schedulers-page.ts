/** Writes docs/reference/schedulers.md from the server's own tables. */
import { schedulers } from '../src/api/schedulers.ts';
import { type SamplerEntry, type SamplerName, samplers } from '../src/engine/samplers/index.ts';
import {
  fluxShift,
  resolutionShift,
  type Sigmas,
  type SigmasName,
  sigmas,
} from '../src/engine/sigmas/index.ts';

type Name = keyof typeof schedulers;
type Row = { name: Name; sampler: SamplerName; spacing: SigmasName };

const entries: Record<SamplerName, SamplerEntry> = samplers;
const rows: Row[] = (Object.keys(schedulers) as Name[]).map((name) => {
  const { sampler, sigmas } = schedulers[name];
  return { name, sampler, spacing: sigmas };
});

/** Notes on single names, beside their rows. */
const remarks: Partial<Record<Name, string>> = {
  DDIM: 'η = 0: on a flow it is Euler',
  DDIMScheduler: 'η = 0: on a flow it is Euler',
  DDPMScheduler: 'the flow form of DDPM; the published scheduler has none',
  Default: "the model's own",
  'DPM++': 'first order: on a flow it is Euler',
  'DPM++ Beta': 'first order: on a flow it is Euler',
  'DPM++ Exponential': 'first order: on a flow it is Euler',
  'DPM++ Karras': 'first order: on a flow it is Euler',
  'DPM++ Uniform': 'first order: on a flow it is Euler',
  'DPM++ Uniform Beta': 'first order: on a flow it is Euler',
  'DPM++ Uniform Exponential': 'first order: on a flow it is Euler',
  'DPM++ Uniform Karras': 'first order: on a flow it is Euler',
  DPMSolverMultistepInverse:
    'turns pictures into noise and has no meaning where pictures are made: runs forward, as DPM++ 2M',
  EDMDPMSolverMultistepScheduler: 'of EDM only the levels are left: the sampler is the same on a flow',
  EDMEulerScheduler: 'of EDM only the levels are left: the sampler is the same on a flow',
  'Euler DiscreteScheduler': 'spelled as the hosted service spells it',
  EulerDiscreteScheduler: 'the same name as client libraries send it',
  LCM: 'made for distilled models; blurs others',
  LCMScheduler: 'made for distilled models; blurs others',
  TCDScheduler: 'made for distilled models; softens others',
  UniPC: 'order 2, as UniPC 2M',
};

export function schedulersPage(): string {
  return `# Schedulers

The request parameter \`scheduler\` (on the command line \`--scheduler\`) takes ${rows.length} names. Each is a **sampler**, which takes the
picture from one noise level to the next, on a **spacing**, which says what those levels are. Leave the parameter out for
the model's own, Euler on FLUX's levels.

FLUX is a rectified flow: a sample is (1-σ)·picture + σ·noise, and the network predicts noise - picture. Most of these names
come from models of another kind. Here each is what its formula becomes on a flow; samplers that draw fresh noise scale
the sample as a flow needs, since the usual rule gives pictures of the wrong contrast.

\`steps\` is the number of steps for every name; what a step costs is in the column *evaluations* (n: the number of steps; with
\`trueCFGScale\` above 1 each counts twice). Start with the default. DPM++ 2M and UniPC come nearer to the result of many
steps with few of them; Heun and KDPM2 do so at twice the cost a step. Those that draw noise vary more, do not settle as
steps grow, and leave step caches little to reuse.

![A picture for each way of sampling](schedulers.webp)

The same edit ("make the car blue", the embedded model, 6 steps, one seed) with every combination there is; a tile is
named after the first scheduler of the table that means it. The embedded model is small and sure of its edits, so most
samplers agree on it; those that draw noise do not. \`npm run docs:grid\` makes the picture.

## Names

*order* is what the method's authors state, of the formula; an arrow where the first steps have less. *measured* is the power
of the step length with which the error of a whole run falls, which the tests measure on a flow whose solution is known:
less where the first steps hold it back, more where a corrector adds one.

${table(
  ['name', 'sampler', 'spacing', 'evaluations', 'order', 'measured', 'draws noise', ''],
  rows.map(({ name, sampler, spacing }) => {
    const { order, converges, evaluations, stochastic } = entries[sampler];
    return [
      name,
      `\`${sampler}\``,
      `\`${spacing}\``,
      formula(evaluations),
      order,
      converges === 0 ? 'none' : String(converges),
      stochastic ? 'yes' : '',
      remarks[name] ?? '',
    ];
  }),
)}

## Names that mean the same

${sameMeaning()
  .map((names) => `- ${names.join(' = ')}`)
  .join('\n')}

DDPMScheduler and DPM++ SDE are the same step, written in two ways: with the same seed their pictures differ by rounding.

## Samplers

${table(
  ['sampler', 'what it is'],
  Object.entries(samplers).map(([name, { title }]) => [`\`${name}\``, title]),
)}

The noise of samplers that draw it continues the seed's own stream, one draw a step, so the same request gives the same
picture. LCM and TCD assume a model that was distilled to jump to the picture; others come out with too little detail, more
steps or not (*measured*: none).

## Spacings

Levels of 8 steps for a 1024×1024 picture:

${table(
  ['spacing', 'what it is', 'levels'],
  Object.entries(sigmas).map(([name, { title, levels }]) => [`\`${name}\``, title, levelsText(levels)]),
)}

The hosted service publishes no formula for its "Uniform" names; this is the plain reading of the word.
`;
}

function formula(evaluations: (steps: number) => number): string {
  const known = { 10: 'n', 11: 'n + 1', 19: '2n - 1' } as Record<number, string>;
  return known[evaluations(10)]!;
}

function sameMeaning(): Name[][] {
  const groups = Map.groupBy(rows, ({ sampler, spacing }) => `${sampler} ${spacing}`);
  return [...groups.values()]
    .filter((group) => group.length > 1)
    .map((group) => group.map(({ name }) => name));
}

/** The first name of every combination. */
export function distinctSchedulers(): Name[] {
  const groups = Map.groupBy(rows, ({ sampler, spacing }) => `${sampler} ${spacing}`);
  return [...groups.values()].map(([first]) => first!.name);
}

function levelsText(levels: Sigmas): string {
  const found = levels(8, resolutionShift(4096, fluxShift));
  return [...found].map((level) => String(Number(level.toFixed(3)))).join(', ');
}

function table(head: readonly string[], body: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]) => `| ${cells.join(' | ')} |`;
  return [line(head), line(head.map(() => '---')), ...body.map(line)].join('\n');
}
