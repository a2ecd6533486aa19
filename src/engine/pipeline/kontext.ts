/**
 * FLUX.1 Kontext (arXiv 2506.15742): one Plan in, its events out. The reference pipelines are
 * black-forest-labs/flux `cli_kontext.py` and diffusers `pipeline_flux_kontext.py`.
 */
import { LoraCache } from '../adapters/lora/cache.ts';
import type { Engine, EngineOptions } from '../engine.ts';
import { encodeImage } from '../image/image-codec.ts';
import { Residents } from '../networks/residents.ts';
import type { Plan } from '../plan.ts';
import { isUnsafe } from '../safety/check.ts';
import { decode } from './decode.ts';
import { denoise } from './denoise.ts';
import { EncodingMemo } from './encode.ts';
import { type Events, staged } from './events.ts';
import { openKept } from './masked-edit.ts';
import { type EngineState, type Model, openModel } from './model.ts';
import { embedPlan } from './plan-record.ts';
import { refineFaces } from './refine-faces.ts';
import { checkAborted, type Run } from './run.ts';
import { isCopy, onlyReference, unchangedWarning } from './unchanged.ts';

/** Bytes of about a dozen LoRAs of FLUX.1's size. */
const maxLoraBytes = 4 * 2 ** 30;

/**
 * The server's process and the engine's with its libraries (measured: 150 and 100 MiB), images, prompts and latents in
 * work, and freed memory that malloc keeps (up to 200 MiB).
 */
export const processBytes = 512 * 2 ** 20;

/** An engine in this process; `EngineHost` runs one in a child. */
export function createEngine({ threads, memoryLimit, log }: EngineOptions): Engine {
  const loras = new LoraCache({
    limit: Math.min(maxLoraBytes, memoryLimit / 8),
    memory: memoryLimit,
    threads,
  });
  const residents = new Residents(memoryLimit, loras, processBytes);
  const memo = new EncodingMemo();
  return {
    run: async function* (plan, signal) {
      const begin = performance.now();
      const model = yield* load(plan, { residents, loras, limits: { threads, memoryLimit } });
      yield* kontext({ plan, model, memo, signal, log }, begin);
    },
    release: () => residents.release(),
  };
}

async function* load(plan: Plan, state: EngineState): Events<Model> {
  const begin = performance.now();
  const model = yield* staged('load', openModel(plan, state));
  if (plan.faces) yield* staged('load', model.faceDetector(plan.faces.detector));
  if (plan.safety) yield* staged('load', model.contentClassifier(plan.safety));
  yield* staged('load', model.warmUp());
  const { device } = plan.numerics;
  const { precision } = model.opened.compute;
  yield { type: 'load-end', milliseconds: performance.now() - begin, device, precision };
  return model;
}

/** Yields the events of `EngineEvent` in their order, `image` last; stops between events when the signal fires. */
async function* kontext(run: Run, begin: number): Events {
  const { plan, model, memo, signal } = run;
  const encoded = yield* memo.encode(plan, model);
  checkAborted(signal);
  const kept = plan.mask && (yield* openKept(run, plan.mask, encoded));
  checkAborted(signal);
  const x = yield* denoise(run, encoded, kept?.repaint);
  const decoding = performance.now();
  let bitmap = yield* decode(run, { x, encoded }, model.imageDecoder(encoded.canvas));
  yield { type: 'decode-end', milliseconds: performance.now() - decoding };
  const warnings = [...encoded.warnings];
  if (encoded.recognised === false) bitmap = (await onlyReference(plan)) ?? bitmap;
  else if (isCopy(x, encoded)) {
    bitmap = (await onlyReference(plan)) ?? bitmap;
    warnings.push(unchangedWarning);
    yield { type: 'warning', ...unchangedWarning };
  }
  if (plan.faces) bitmap = yield* refineFaces(run, plan.faces, bitmap);
  if (kept) bitmap = kept.restore(bitmap);
  const checked = plan.safety && {
    nsfw: await isUnsafe(yield* staged('safety', model.contentClassifier(plan.safety)), bitmap),
  };
  const encodedImage = await encodeImage(bitmap, plan.output.format, plan.output.quality);
  const image = embedPlan(encodedImage, plan, warnings);
  yield { type: 'image', image: { ...image, ...checked }, milliseconds: performance.now() - begin };
}
