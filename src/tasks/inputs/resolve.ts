/** Task → Inputs: every image that the task names, fetched and decoded once, outside the engine's queue. */

import { documentationOf } from '../../api/documentation.ts';
import { type ImageInferenceTask, imageInference } from '../../api/tasks/image-inference.ts';
import type { MaskSense } from '../../engine/image/mask.ts';
import { RetouchError } from '../../error.ts';
import { isImageFault } from '../failures.ts';
import {
  decodeOptions,
  invalidImage,
  type Place,
  type Requester,
  readImage,
  type Sources,
} from './image-source.ts';

export type { Sources } from './image-source.ts';

/** Width and height after the EXIF orientation is applied. */
export type Reference = { bytes: Uint8Array; width: number; height: number };
/** `guides`: a list per IP-Adapter. */
export type Inputs = {
  references: Reference[];
  guides: Reference[][];
  /** Grey, as `Plan.mask` has it; as large as the first reference. */
  mask?: Reference | undefined;
};

/** Throws an AggregateError with one error per image that cannot be fetched or read. */
export async function resolveInputs(
  task: ImageInferenceTask,
  sources: Sources,
  requester: Requester,
): Promise<Inputs> {
  const resolve = (texts: readonly string[], parameter: string, where = parameter) => {
    const documentation = documentationOf(imageInference, parameter);
    return texts.map((text, index) =>
      resolveReference(text, { parameter, where: `${where}[${index}]`, documentation }, sources, requester),
    );
  };
  const references = resolve(task.inputs?.referenceImages ?? [], 'inputs.referenceImages');
  const guides = (task.ipAdapters ?? []).map(({ guideImages }, index) =>
    resolve(guideImages, 'ipAdapters.guideImages', `ipAdapters[${index}].guideImages`),
  );
  const maskText = task.inputs?.maskImage;
  const mask = maskText === undefined ? undefined : resolveMask(maskText, references[0]!, sources, requester);
  const settled = await Promise.allSettled([references, ...guides, ...(mask ? [mask] : [])].flat());
  const reasons = settled.flatMap((result) => (result.status === 'rejected' ? [result.reason] : []));
  // A mask waits for its picture, and fails if the picture fails.
  const errors = [...new Set(reasons)];
  if (errors.length > 0) throw new AggregateError(errors);
  return {
    references: await Promise.all(references),
    guides: await Promise.all(guides.map((each) => Promise.all(each))),
    mask: await mask,
  };
}

async function resolveReference(
  text: string,
  place: Place,
  sources: Sources,
  requester: Requester,
): Promise<Reference> {
  const bytes = await readImage({ text, place }, sources, requester);
  try {
    const { width, height } = await sources.decoder.check(bytes, decodeOptions(sources, requester));
    return { bytes, width, height };
  } catch (error) {
    if (!(error instanceof RetouchError) || !isImageFault(error.code)) throw error;
    throw invalidImage(place, error.message);
  }
}

const maskPlace = { parameter: 'inputs.maskImage', where: 'inputs.maskImage' };

async function resolveMask(
  text: string,
  picture: Promise<Reference>,
  sources: Sources,
  requester: Requester,
): Promise<Reference> {
  const mask = await readMask({ text, place: maskPlace, sense: 'white' }, sources, requester);
  const { width, height } = await picture;
  if (mask.width === width && mask.height === height) return mask;
  const found = `found a mask of ${mask.width}×${mask.height}, expected the size of the first picture, ${width}×${height}.`;
  throw invalidImage(maskPlace, found);
}

/**
 * Converts a mask to the engine's form, in which white is edited. `sense` names the edited part of the given mask.
 * Throws API errors.
 */
export async function readMask(
  given: { text: string; place: Place; sense: MaskSense },
  sources: Sources,
  requester: Requester,
): Promise<Reference> {
  const bytes = await readImage(given, sources, requester);
  try {
    return await sources.decoder.prepareMask(bytes, given.sense, decodeOptions(sources, requester));
  } catch (error) {
    if (!(error instanceof RetouchError) || !isImageFault(error.code)) throw error;
    throw invalidImage(given.place, error.message);
  }
}
