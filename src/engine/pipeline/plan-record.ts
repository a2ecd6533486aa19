/** The record in an image's metadata of how it was made: the Plan without bytes and file paths. */
import { createHash } from 'node:crypto';
import { isAbsolute } from 'node:path';
import { embedTexts, readJson } from '../image/metadata.ts';
import type { EncodedImage, Plan } from '../plan.ts';
import type { EngineWarning } from '../warnings.ts';

export type PlanRecord = { readonly [name: string]: unknown };

/** The image with its record; the same plan still gives the same bytes. */
export function embedPlan(
  image: EncodedImage,
  plan: Plan,
  warnings: readonly EngineWarning[] = [],
): EncodedImage {
  const record = { ...describePlan(plan), ...(warnings.length > 0 ? { warnings } : {}) };
  const json = JSON.stringify(record).replace(
    /[\u007f-\uffff]/g,
    (letter) => `\\u${letter.charCodeAt(0).toString(16).padStart(4, '0')}`,
  );
  return embedTexts(image, { parameters: describeParameters(plan), json });
}

/** The record of an image that Retouch made. */
export function readPlanRecord(bytes: Uint8Array): PlanRecord | undefined {
  const json = readJson(bytes);
  if (json === undefined) return undefined;
  try {
    return JSON.parse(json);
  } catch {
    return undefined;
  }
}

export function describePlan(plan: Plan): PlanRecord {
  const { previewEvery: _, model, ...rest } = plan;
  return { software: 'Retouch', model: model.air, ...(scrub(rest) as PlanRecord) };
}

/**
 * Integers beyond 2^53 as text, byte arrays as their SHA-256; paths are left out, because they reveal the machine to
 * strangers.
 */
function scrub(value: unknown, key = ''): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (value instanceof Uint8Array) return `sha256:${createHash('sha256').update(value).digest('hex')}`;
  if (typeof value === 'string') return isAbsolute(value) && !/prompt/i.test(key) ? undefined : value;
  if (Array.isArray(value)) return value.map((item) => scrub(item));
  if (typeof value !== 'object' || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([name, field]) => [name, scrub(field, name)]));
}

/** In the form of Automatic1111 and Forge, which many programs and galleries read. */
function describeParameters(plan: Plan): string {
  const { prompt, negativePrompt, steps, sampler, sigmas, guidance, trueCfg, seed, width, height, model } =
    plan;
  const facts = [
    `Steps: ${steps}`,
    `Sampler: ${sampler}`,
    `Schedule type: ${sigmas}`,
    `CFG scale: ${trueCfg}`,
    `Distilled CFG Scale: ${guidance}`,
    `Seed: ${seed}`,
    `Size: ${width}x${height}`,
    `Model: ${model.air}`,
    ...plan.loras.map(({ air, weight }, i) => `Lora ${i + 1}: ${air} ${weight}`),
    ...plan.ipAdapters.map(({ air, weight }, i) => `IP-Adapter ${i + 1}: ${air} ${weight}`),
    'Version: Retouch',
  ];
  const negative = negativePrompt === '' ? [] : [`Negative prompt: ${negativePrompt}`];
  return [prompt, ...negative, facts.join(', ')].join('\n');
}
