/** Access to the task service for the doors of OpenAI's API and MCP. */

import { collectPictures } from '../api/openai/pictures.ts';
import type { ModelFacts, Translation } from '../api/openai/translate.ts';
import type { ValidTask } from '../api/parse.ts';
import type { Reply } from '../api/results.ts';
import { listedSizes } from '../api/sizes.ts';
import type { WireObject } from '../api/task-type.ts';
import type { Model, ModelStore } from '../store/models.ts';
import type { Requester, Sources } from '../tasks/inputs/image-source.ts';
import { readMask } from '../tasks/inputs/resolve.ts';
import type { Caller, TaskService } from '../tasks/service.ts';
import { settle } from './answer.ts';

export function translationFor(taskUUID: string, service: TaskService, models: ModelStore): Translation {
  const find = (name: string | undefined) => factsOf(findModel(models, name));
  return { taskUUID, findModel: find, context: service.parseContext };
}

/** FLUX.1 Kontext [dev]; if it is not installed, the embedded model is the default. */
const preferred = 'runware:106@1';
const openAINames = /^(gpt-image|chatgpt-image|dall-e)-/;

/** A model name of OpenAI, or none, means the default model; an alias of the configuration takes precedence. */
export function findModel(models: ModelStore, name: string | undefined): Model | undefined {
  const model = name === undefined ? undefined : models.find(name);
  if (model || (name !== undefined && !openAINames.test(name))) return model;
  return models.find(preferred) ?? models.models[0];
}

function factsOf(model: Model | undefined): ModelFacts | undefined {
  return model && { air: model.air, sizes: model.sizes ?? listedSizes, steps: model.defaults.steps };
}

const maskPlace = { parameter: 'mask', where: 'mask' };

/** Converts a mask, whose transparent pixels are edited, to the form of the task API. Throws API errors. */
export async function withTaskMask(wire: unknown, sources: Sources, requester: Requester): Promise<unknown> {
  if (typeof wire !== 'object' || wire === null) return wire;
  const { mask, ...rest } = collectPictures(wire as WireObject);
  if (typeof mask !== 'string') return wire;
  const { bytes } = await readMask(
    { text: mask, place: maskPlace, sense: 'transparent' },
    sources,
    requester,
  );
  return { ...rest, mask: `data:image/png;base64,${Buffer.from(bytes).toString('base64')}` };
}

/** Cancels the task when the client disconnects, because it could not get the images later. */
export async function* performUntilLeft(
  service: TaskService,
  task: ValidTask,
  caller: Caller,
): AsyncGenerator<Reply> {
  for await (const reply of service.perform(task, caller)) yield settle(reply);
  if (!caller.signal.aborted) return;
  const wire = { taskType: 'cancelTask', taskUUID: task.task.taskUUID! } as const;
  // Fails for a task that is finished or was never accepted; the client is gone and needs no answer.
  for await (const _ of service.perform({ task: wire, wire }, caller));
}
