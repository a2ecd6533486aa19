/** Task → Inputs: every picture the task names, fetched and looked at. */

import type { ImageInferenceTask } from '../api/tasks/image-inference.ts';
import { probeImage } from '../engine/image.ts';
import { RetouchError } from '../error.ts';
import { isPictureFault } from './failures.ts';
import { invalidPicture, type Place, readPicture, type Sources } from './picture-source.ts';

export type { Sources } from './picture-source.ts';

/** Width and height are as seen, after the EXIF orientation. */
export type Reference = { bytes: Uint8Array; width: number; height: number };
export type Inputs = { references: Reference[] };

const documentation = 'https://runware.ai/docs/models/flux-1-kontext-dev#request-inputs-referenceimages';

/** Throws an AggregateError of what is wrong with each picture that cannot be had or is none. */
export async function resolveInputs(
  task: ImageInferenceTask,
  sources: Sources,
  signal: AbortSignal,
): Promise<Inputs> {
  const given = task.inputs?.referenceImages ?? [];
  const parameter = 'inputs.referenceImages';
  const resolving = given.map((text, index) => {
    const place = { parameter, where: `${parameter}[${index}]`, documentation };
    return resolveReference(text, place, sources, signal);
  });
  const settled = await Promise.allSettled(resolving);
  const errors = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  if (errors.length > 0) throw new AggregateError(errors);
  return { references: settled.flatMap((result) => (result.status === 'fulfilled' ? [result.value] : [])) };
}

async function resolveReference(
  text: string,
  place: Place,
  sources: Sources,
  signal: AbortSignal,
): Promise<Reference> {
  const bytes = await readPicture(text, place, sources, signal);
  try {
    const { width, height } = await probeImage(bytes, sources.maxPixels);
    return { bytes, width, height };
  } catch (error) {
    if (!(error instanceof RetouchError) || !isPictureFault(error.code)) throw error;
    throw invalidPicture(place, error.message);
  }
}
