/**
 * Face refinement: each face found in the finished picture is cut out, painted again at the size Kontext works at with
 * itself as the reference, and put back under a mask. ADetailer's steps with diffusers' `FluxKontextInpaintPipeline`.
 */

import { bestFaces, type Face } from '../faces/boxes.ts';
import { detectFaces } from '../faces/detect.ts';
import { type Bitmap, cropBitmap } from '../image/pixels.ts';
import { resizeLanczos } from '../image/resample.ts';
import type { Size } from '../image/sizes.ts';
import { latentMask } from '../latents/inpaint.ts';
import { pack } from '../latents/packing.ts';
import type { Residents } from '../networks/residents.ts';
import type { FaceRefinement, Plan } from '../plan.ts';
import type { EngineOptions } from '../process/messages.ts';
import { checkAborted, decode, denoise } from './denoise.ts';
import type { EncodingMemo } from './encoding.ts';
import { type Events, staged } from './events.ts';
import { composite, cropRegion, faceMask, maskPixels } from './face-mask.ts';
import type { LoadedModel } from './model.ts';

type Tools = {
  model: LoadedModel;
  memo: EncodingMemo;
  residents: Residents;
  options: EngineOptions;
  signal: AbortSignal;
};

/** Each takes a diffusion of about a megapixel, and at a low confidence detectors find a hundred. */
export const maxFaces = 10;

/** The picture with its faces painted again, one after the other; the same bitmap when there is none. */
export async function* refineFaces(
  plan: Plan,
  faces: FaceRefinement,
  picture: Bitmap,
  tools: Tools,
): Events<Bitmap> {
  const begin = performance.now();
  const { residents, options, signal } = tools;
  let result = picture;
  let found: Face[] = [];
  if (faces.strength > 0) {
    const detecting = detectFaces(picture, faces.detector, faces.confidence, residents, options.threads);
    found = yield* staged('faces', detecting);
    checkAborted(signal);
  }
  const chosen = bestFaces(found, maxFaces);
  if (chosen.length < found.length) {
    const message = `${found.length} faces were found; the ${maxFaces} that score highest are painted again.`;
    yield { type: 'warning', message };
  }
  for (const [index, face] of chosen.entries()) {
    result = yield* within(index, chosen.length, refineFace(plan, faces, result, face, index, tools));
    checkAborted(signal);
  }
  yield { type: 'faces-end', faces: chosen, found: found.length, milliseconds: performance.now() - begin };
  return result;
}

async function* refineFace(
  plan: Plan,
  faces: FaceRefinement,
  picture: Bitmap,
  face: Face,
  index: number,
  { model, memo, options, signal }: Tools,
): Events<Bitmap> {
  const mask = faceMask(face, picture, faces.maskPadding, faces.maskBlur);
  const { region, size } = cropRegion(mask, picture);
  const [width, height] = [region.right - region.left, region.bottom - region.top];
  const part = cropBitmap(picture, { width, height }, region.left, region.top);
  const own = facePlan(plan, faces, size, index);
  const encoded = yield* memo.encodePart(own, model, resizeLanczos(part, size.width, size.height));
  checkAborted(signal);
  // The picture's own prompts have been warned of.
  const differs = faces.prompt !== plan.prompt || faces.negativePrompt !== plan.negativePrompt;
  if (index === 0 && differs)
    for (const message of encoded.warnings) yield { type: 'warning', message: `Of faces: ${message}` };
  const { canvas, latent } = encoded;
  const repaint = {
    init: encoded.given.references,
    mask: pack(latentMask(onCanvas(maskPixels(mask, region), size, canvas), latent), latent),
    strength: faces.strength,
  };
  const x = yield* denoise(own, model, encoded, signal, options.log, repaint);
  const painted = yield* staged('decode', decode(own, x, encoded, model.decoder(canvas)));
  return composite(picture, resizeLanczos(painted, width, height), mask, region);
}

/** The picture's plan as far as it concerns a face: its model, LoRAs and sampler, with the face's own settings. */
function facePlan(plan: Plan, faces: FaceRefinement, { width, height }: Size, index: number): Plan {
  return {
    ...plan,
    cache: undefined,
    ipAdapters: [],
    faces: undefined,
    safety: undefined,
    previewEvery: 0,
    prompt: faces.prompt,
    negativePrompt: faces.negativePrompt,
    references: [],
    width,
    height,
    seed: BigInt.asUintN(63, plan.seed + BigInt(index)),
    steps: faces.steps,
    guidance: faces.guidance,
  };
}

/** The mask of a part on the canvas that the network works on, which may reach beyond the part right and below. */
function onCanvas(mask: { width: number; height: number; data: Uint8Array }, size: Size, canvas: Size) {
  const data = new Uint8Array(canvas.width * canvas.height);
  for (let y = 0; y < size.height; y++) {
    const row = Math.floor((y * mask.height) / size.height) * mask.width;
    for (let x = 0; x < size.width; x++)
      data[y * canvas.width + x] = mask.data[row + Math.floor((x * mask.width) / size.width)]!;
  }
  return { ...canvas, data };
}

/** The events of one face's refinement as progress of all of them. */
async function* within<T>(index: number, count: number, work: Events<T>): Events<T> {
  const name = `face ${index + 1} of ${count}`;
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
    const event = next.value;
    if (event.type === 'stage-progress')
      yield { ...event, stage: 'faces', message: `${name}, ${event.message}`, fraction: index / count };
    if (event.type === 'warning') yield event;
    if (event.type !== 'step-end') continue;
    const done = (event.index + 1) / event.steps;
    const message = `${name}, step ${event.index + 1} of ${event.steps}`;
    // Below 1: the stage ends with `faces-end`, after the last face is decoded and put back.
    yield {
      type: 'stage-progress',
      stage: 'faces',
      message,
      fraction: Math.min((index + done) / count, 0.99),
    };
  }
}
