/**
 * Face refinement: each face found in the finished image is cut out, repainted at the size Kontext works at with itself as
 * the reference, and put back under a mask. ADetailer's steps with diffusers' `FluxKontextInpaintPipeline`.
 */
import { bestFaces, type Face } from '../faces/boxes.ts';
import { findFaces } from '../faces/detect.ts';
import { type Bitmap, cropBitmap } from '../image/pixels.ts';
import { resizeLanczos } from '../image/resample.ts';
import type { Size } from '../image/sizes.ts';
import { latentMask } from '../latents/inpaint.ts';
import { pack } from '../latents/packing.ts';
import type { FaceRefinement, Plan } from '../plan.ts';
import { decode } from './decode.ts';
import { denoise } from './denoise.ts';
import { type Events, staged } from './events.ts';
import { composite, cropRegion, faceMask, maskPixels } from './face-mask.ts';
import { checkAborted, type Run } from './run.ts';

/** Each takes a diffusion of about a megapixel, and at a low confidence detectors find a hundred. */
const maxFaces = 10;

/** The image with its faces repainted, one after the other; the same bitmap when there is none. */
export async function* refineFaces(run: Run, settings: FaceRefinement, image: Bitmap): Events<Bitmap> {
  const begin = performance.now();
  const { model, signal } = run;
  let result = image;
  let found: Face[] = [];
  if (settings.strength > 0) {
    const detector = yield* staged('faces', model.faceDetector(settings.detector));
    found = await findFaces(detector, image, settings.confidence);
    checkAborted(signal);
  }
  const chosen = bestFaces(found, maxFaces);
  if (chosen.length < found.length) {
    const message = `${found.length} faces were found; the ${maxFaces} that score highest are painted again.`;
    yield { type: 'warning', code: 'facesLimited', message };
  }
  for (const [index, face] of chosen.entries()) {
    const own = { ...run, plan: facePlan(run.plan, settings, index) };
    // The warnings of the image's own prompts, and those of an earlier face, are not repeated.
    const differs =
      settings.prompt !== run.plan.prompt || settings.negativePrompt !== run.plan.negativePrompt;
    const work = refineFace(own, { settings, face, warns: index === 0 && differs }, result);
    result = yield* within({ index, count: chosen.length }, work);
    checkAborted(signal);
  }
  const milliseconds = performance.now() - begin;
  yield { type: 'faces-end', faces: chosen, found: found.length, milliseconds };
  return result;
}

async function* refineFace(
  run: Run,
  { settings, face, warns }: { settings: FaceRefinement; face: Face; warns: boolean },
  image: Bitmap,
): Events<Bitmap> {
  const { model, memo, signal } = run;
  const mask = faceMask(face, image, { padding: settings.maskPadding, blur: settings.maskBlur });
  const { region, size } = cropRegion(mask, image);
  const [width, height] = [region.right - region.left, region.bottom - region.top];
  const part = cropBitmap(image, { width, height }, region);
  const plan = { ...run.plan, width: size.width, height: size.height };
  const encoded = yield* memo.encodePart(plan, model, resizeLanczos(part, size.width, size.height));
  checkAborted(signal);
  if (warns)
    for (const { code, message } of encoded.warnings)
      yield { type: 'warning', code, message: `Of faces: ${message}` };
  const { canvas, latent } = encoded;
  const repaint = {
    init: encoded.given.references,
    mask: pack(latentMask(onCanvas(maskPixels(mask, region), size, canvas), latent), latent),
    strength: settings.strength,
  };
  const x = yield* denoise({ ...run, plan }, encoded, repaint);
  const painted = yield* decode({ ...run, plan }, { x, encoded }, model.imageDecoder(canvas));
  return composite(image, resizeLanczos(painted, width, height), { mask, region });
}

/** The image's plan as far as it concerns a face: its model, LoRAs and sampler, with the face's own settings. */
function facePlan(plan: Plan, settings: FaceRefinement, index: number): Plan {
  return {
    ...plan,
    cache: undefined,
    ipAdapters: [],
    faces: undefined,
    safety: undefined,
    previewEvery: 0,
    prompt: settings.prompt,
    negativePrompt: settings.negativePrompt,
    references: [],
    seed: BigInt.asUintN(63, plan.seed + BigInt(index)),
    steps: settings.steps,
    guidance: settings.guidance,
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
async function* within<T>({ index, count }: { index: number; count: number }, work: Events<T>): Events<T> {
  const name = `face ${index + 1} of ${count}`;
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
    const event = next.value;
    if (event.type === 'stage-progress') {
      // A face is decoded after its steps.
      const fraction = event.stage === 'decode' ? Math.min((index + 1) / count, 0.99) : index / count;
      yield { ...event, stage: 'faces', message: `${name}, ${event.message}`, fraction };
    }
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
