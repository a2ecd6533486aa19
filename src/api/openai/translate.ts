/** A request of the Images API → a task of the task API, which is then parsed as any other. */

import { show } from '../describe.ts';
import { type Failure, statusOf } from '../errors.ts';
import { type ParseContext, parseTask, type ValidTask } from '../parse.ts';
import { nearestSize, type Size } from '../sizes.ts';
import type { WireObject } from '../task-type.ts';
import { Reader } from '../validate.ts';
import { inClientWords } from './errors.ts';
import { collectPictures } from './pictures.ts';
import { type ImagesRequest, type Kind, type Quality, requestSchemas } from './requests.ts';

/** The properties of a model that the translation needs. */
export type ModelFacts = { air: string; sizes: readonly Size[]; steps: number };

export type Translation = {
  taskUUID: string;
  /** Without a name, the server's default model; undefined when no model has the name. */
  findModel(name: string | undefined): ModelFacts | undefined;
  context: ParseContext;
};

export type Translated = { request: ImagesRequest; task: ValidTask } | { failures: Failure[] };

export function translate(kind: Kind, wire: unknown, translation: Translation): Translated {
  const reader = new Reader();
  const object = typeof wire === 'object' && wire !== null && !Array.isArray(wire);
  const given = kind === 'edit' && object ? collectPictures(wire as WireObject) : wire;
  const request = reader.read(requestSchemas[kind], given, []) as ImagesRequest | undefined;
  const size = readSize(request?.size ?? 'auto', reader);
  if (!object || !request || reader.errors.length > 0) {
    const errors = object ? reader.errors : [notAnObject(wire)];
    return { failures: errors.map((error) => inClientWords({ status: statusOf(error.code), error })) };
  }
  const model = translation.findModel(request.model);
  const task = makeTask(request, size, model, translation.taskUUID);
  const parsed = parseTask(task, 0, translation.context);
  return 'task' in parsed ? { request, task: parsed } : { failures: parsed.failures.map(inClientWords) };
}

function notAnObject(wire: unknown) {
  const message = `The body of the request is ${show(wire)}; expected a JSON object or multipart/form-data.`;
  return { code: 'invalidBody', message };
}

function makeTask(
  request: ImagesRequest,
  size: Size | undefined,
  model: ModelFacts | undefined,
  taskUUID: string,
): WireObject {
  const [width, height] = (size && model && nearestSize(model.sizes, ...size)) ?? [];
  const streamed = request.stream;
  return {
    taskType: 'imageInference',
    taskUUID,
    model: model?.air ?? request.model ?? '',
    positivePrompt: request.prompt,
    numberResults: request.n,
    outputType: request.response_format === 'url' && !streamed ? 'URL' : 'base64Data',
    outputFormat: request.output_format.toUpperCase(),
    outputQuality: Math.min(Math.max(request.output_compression, 20), 99),
    steps: request.num_inference_steps ?? (model && stepsOf(request.quality, model.steps)),
    ...(width === undefined ? {} : { width, height }),
    ...(request.image ? { inputs: { referenceImages: request.image, maskImage: request.mask } } : {}),
    seed: request.seed,
    CFGScale: request.guidance_scale,
    trueCFGScale: request.true_cfg_scale,
    negativePrompt: request.negative_prompt,
    lora: request.lora,
  };
}

const most = 50;

/** `medium` is the model's default number of steps. */
function stepsOf(quality: Quality, own: number): number {
  const factors: Partial<Record<Quality, number>> = { low: 0.5, high: 1.5, hd: 1.5, xhigh: 2, max: 2 };
  return Math.min(Math.ceil((factors[quality] ?? 1) * own), most);
}

/** Undefined is `auto`: the listed size nearest to the first picture in shape. */
function readSize(text: string, reader: Reader): Size | undefined {
  if (text === 'auto') return undefined;
  const [, width, height] = /^([1-9]\d{0,4})x([1-9]\d{0,4})$/.exec(text) ?? [];
  if (width !== undefined && height !== undefined) return [Number(width), Number(height)];
  const message = `Invalid value for 'size': found ${show(text)}, expected auto or a width and a height such as 1024x1024.`;
  reader.report('invalidSize', message, ['size'], { type: 'string' });
  return undefined;
}
