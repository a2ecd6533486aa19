/** The flags of an edit → a Task, validated by the API's rules, so that command line and server accept the same values. */

import { randomUUID } from 'node:crypto';
import { parseTasks } from '../../api/parse.ts';
import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { ImageFormat } from '../../engine/plan.ts';
import { RetouchError } from '../../error.ts';
import type { ModelStore } from '../../store/models.ts';
import { cliError } from '../flags/arguments.ts';
import { faceParameters, readFaces } from '../flags/face-flag.ts';
import type { FlaggedIpAdapter } from '../flags/ip-adapter-flag.ts';

/** Flag → parameter of the wire. */
const parameters = {
  model: 'model',
  width: 'width',
  height: 'height',
  steps: 'steps',
  seed: 'seed',
  guidance: 'CFGScale',
  negative: 'negativePrompt',
  'true-cfg': 'trueCFGScale',
  scheduler: 'scheduler',
  quality: 'outputQuality',
} as const;

type TaskFlag = keyof typeof parameters;

const texts: readonly TaskFlag[] = ['model', 'negative', 'scheduler'];

export type EditValues = { readonly [Name in TaskFlag]?: string } & {
  readonly lora?: readonly string[];
  /** `acceleratorOptions`. */
  readonly caching?: Record<string, unknown> | undefined;
  readonly ipAdapters?: readonly FlaggedIpAdapter[] | undefined;
  readonly faces?: boolean;
  readonly face?: readonly string[];
  readonly check?: boolean;
};

/** Throws `flagInvalid` and the API's codes; messages name flags instead of parameters. */
export function makeTask(
  { instruction, format }: { instruction: string; format: ImageFormat },
  values: EditValues & { model: string },
  models: ModelStore,
): ImageInferenceTask {
  const wire: Record<string, unknown> = {
    taskType: 'imageInference',
    taskUUID: randomUUID(),
    positivePrompt: instruction,
    outputFormat: format.toUpperCase(),
  };
  for (const name of Object.keys(parameters) as TaskFlag[]) {
    const value = values[name];
    if (value === undefined) continue;
    wire[parameters[name]] = texts.includes(name) ? value : exactNumber(name, value);
  }
  if (Object.keys(values.caching ?? {}).length > 0) wire.acceleratorOptions = values.caching;
  if (values.lora) wire.lora = values.lora.map(readLora);
  if (values.ipAdapters)
    wire.ipAdapters = values.ipAdapters.map(({ model, weight, files }) => ({
      model,
      guideImages: files,
      ...(weight === undefined ? {} : { weight: exactNumber('ip-adapter', weight) }),
    }));
  const ultralytics = readFaces(values.faces, values.face, exactNumber);
  if (ultralytics) wire.ultralytics = ultralytics;
  if (values.check) wire.safety = { checkContent: true };
  const explainMissingModel = (air: string) => (models.find(air) ? undefined : models.explainMissing(air));
  const body = new TextEncoder().encode(JSON.stringify([wire]));
  const [parsed] = parseTasks(body, {
    maxTasks: 1,
    sizesOf: (air) => models.find(air)?.sizes,
    explainMissingModel,
    explainAdapter: models.explainAdapter.bind(models),
  });
  if (parsed && 'task' in parsed) return parsed.task as ImageInferenceTask;
  const errors = parsed?.failures.map(({ error }) => error) ?? [];
  throw new RetouchError(
    errors[0]?.code ?? 'internalError',
    errors.map(({ message }) => inFlags(message)).join('\n'),
  );
}

/** An AIR ends with a version after its @, so a colon after the @ begins the weight. */
function readLora(text: string): Record<string, unknown> {
  const [, model = text, weight, stage] = text.match(/^([^@]+@[^:]+)(?::([^:]*))?(?::([^:]*))?$/) ?? [];
  return {
    model,
    ...(weight === undefined ? {} : { weight: exactNumber('lora', weight) }),
    ...(stage === undefined ? {} : { transformer: stage }),
  };
}

/** Keeps the digits as written, since a seed may exceed 2^53. */
function exactNumber(name: string, text: string): unknown {
  if (!/^-?(0|[1-9]\d*)(\.\d+)?$/.test(text)) {
    throw cliError('flagInvalid', `--${name} is '${text}'; expected a number.`);
  }
  return (JSON as unknown as { rawJSON(text: string): unknown }).rawJSON(text);
}

function inFlags(message: string): string {
  const words: Record<string, string> = { positivePrompt: 'the instruction' };
  for (const [flag, parameter] of Object.entries(parameters)) words[parameter] = `--${flag}`;
  for (const [name, parameter] of Object.entries(faceParameters))
    words[`ultralytics.${parameter}`] = `--face ${name}`;
  return message
    .replace(/'([A-Za-z.]+)'/g, (quoted, name: string) =>
      Object.hasOwn(words, name) ? words[name]! : quoted,
    )
    .replace(/'ipAdapters\[\d+\]\.(model|weight|guideImages)'/g, '--ip-adapter')
    .replace(/'lora\[\d+\]\.(model|weight|transformer)'/g, '--lora');
}
