/** Task and Inputs → Plans, one per result, complete, with all defaults applied. */

import { randomInt } from 'node:crypto';
import { schedulers } from '../../api/schedulers.ts';
import { listedSizes, nearestSize, type Size } from '../../api/sizes.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import {
  type DeviceName,
  type ImageFormat,
  type Plan,
  type PlannedLora,
  type PrecisionName,
  plainNumerics,
  plainPlan,
} from '../../engine/plan.ts';
import type { Model, ModelStore } from '../../store/models.ts';
import type { Inputs } from '../inputs/resolve.ts';
import { planIpAdapters } from './ip-adapters.ts';
import { cachePlan, referencePlan } from './step-cache.ts';
import { planFaces, planSafety } from './tools.ts';
import { clampGuidance, planWarnings, type Warning } from './warnings.ts';

/** The server's numerics; the same for every task. */
export type Arithmetic = {
  device: DeviceName;
  precision: PrecisionName | 'auto';
  referenceIds: Plan['numerics']['referenceIds'];
};

/** A Plan, the seed of the wire, and warnings about parameters without effect. */
export type PlannedImage = { plan: Plan; seed: bigint; warnings: readonly Warning[] };

/** The largest seed of the wire; it is a little above 2^63 − 1, see the schema. */
const maxSeed = 9223372036854776000n;

export type PlanOptions = {
  models: Pick<ModelStore, 'find' | 'findAdapter' | 'findTool'>;
  arithmetic: Arithmetic;
};

export function makePlans(
  task: ImageInferenceTask,
  inputs: Inputs,
  { models, arithmetic }: PlanOptions,
): PlannedImage[] {
  // The parser has checked that it is installed, and models stay while the server runs.
  const model = models.find(task.model)!;
  const [width, height] = chooseSize(task, inputs, model);
  const asked = task.CFGScale ?? model.defaults.guidance;
  const guidance = clampGuidance(asked, model.guidance);
  const warnings = planWarnings(task, model);
  const steps = task.steps ?? model.defaults.steps;
  const firstSeed = task.seed ?? BigInt(randomInt(2 ** 32));
  const shared = {
    ...plainPlan,
    model: model.source,
    prompt: task.positivePrompt === '__BLANK__' ? '' : task.positivePrompt,
    // The page: "Ignored when guidance is disabled (CFGScale ≤ 1)".
    negativePrompt: asked > 1 ? (task.negativePrompt ?? '') : '',
    references: inputs.references.map(({ bytes }) => bytes),
    mask: inputs.mask?.bytes,
    width,
    height,
    steps,
    guidance,
    trueCfg: task.trueCFGScale ?? 1,
    ...schedulers[task.scheduler],
    cache: cachePlan(task.acceleratorOptions, steps),
    ...referencePlan(task.acceleratorOptions),
    numerics: { ...plainNumerics, ...arithmetic },
    loras: planLoras(task, models),
    ipAdapters: planIpAdapters(task, inputs, models),
    faces: planFaces(task, models, model.guidance),
    safety: planSafety(task, models),
    output: { format: task.outputFormat.toLowerCase() as ImageFormat, quality: task.outputQuality },
  } satisfies Omit<Plan, 'seed'>;
  return Array.from({ length: task.numberResults }, (_, index) => {
    const seed = (firstSeed + BigInt(index)) % (maxSeed + 1n);
    // The generator uses the low 32 bits, so the few seeds above 2^63 keep their noise.
    return { plan: { ...shared, seed: BigInt.asUintN(63, seed) }, seed, warnings };
  });
}

/** The parser has checked that each is installed, and adapters stay while the server runs. */
function planLoras(
  { lora = [] }: ImageInferenceTask,
  adapters: Pick<ModelStore, 'findAdapter'>,
): PlannedLora[] {
  return lora.map(({ model: air, weight, transformer: stage }) => {
    const { weights: file } = adapters.findAdapter('lora', air)!.files;
    return { air, file: file!, weight, stage };
  });
}

function chooseSize(task: ImageInferenceTask, { references }: Inputs, model: Model): Size {
  const sizes: readonly Size[] = model.sizes ?? listedSizes;
  // The parser has checked that the model supports the requested size.
  if (task.width !== undefined && task.height !== undefined) return [task.width, task.height];
  const [first] = references;
  return first ? nearestSize(sizes, first.width, first.height) : nearestSize(sizes, 1, 1);
}
