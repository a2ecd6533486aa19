/**
 * FLUX.1 Kontext (arXiv 2506.15742): one Plan in, its events out. The reference pipelines are
 * black-forest-labs/flux `cli_kontext.py` and diffusers `pipeline_flux_kontext.py`.
 */
import { LoraCache } from '../adapters/lora/cache.ts';
import { openDetector } from '../faces/detect.ts';
import { encodeImage } from '../image/image-codec.ts';
import { Residents } from '../networks/residents.ts';
import type { Plan } from '../plan.ts';
import type { Engine, EngineOptions } from '../process/messages.ts';
import { checkContent, openClassifier } from '../safety/check.ts';
import { checkAborted, decode, denoise } from './denoise.ts';
import { EncodingMemo } from './encoding.ts';
import { type Events, staged } from './events.ts';
import { openKept } from './masked-edit.ts';
import { type LoadedModel, openModel } from './model.ts';
import { embedPlan } from './plan-record.ts';
import { refineFaces } from './refine-faces.ts';

/** An engine in this process; `EngineHost` runs one in a child. */
export function createEngine(options: EngineOptions): Engine {
  const loras = new LoraCache(
    Math.min(maxLoraBytes, options.memoryLimit / 8),
    options.threads,
    options.memoryLimit,
  );
  const residents = new Residents(options.memoryLimit, loras);
  const memo = new EncodingMemo();
  return {
    run: (plan, signal) => kontext(plan, signal, { residents, memo, loras, options }),
    release: () => residents.release(),
  };
}

/** What an engine keeps from run to run. */
type Keeping = { residents: Residents; memo: EncodingMemo; loras: LoraCache; options: EngineOptions };

/** A dozen LoRAs of FLUX.1's size. */
const maxLoraBytes = 4 * 2 ** 30;

/** Yields what `EngineEvent` lists, in that order; stops between events when `signal` fires. */
async function* kontext(plan: Plan, signal: AbortSignal, keeping: Keeping): Events {
  const { memo, residents, options } = keeping;
  const begin = performance.now();
  const model = yield* load(plan, keeping);
  const encoded = yield* memo.encode(plan, model);
  checkAborted(signal);
  const kept = plan.mask && (yield* openKept(plan, plan.mask, model, encoded));
  checkAborted(signal);
  const x = yield* denoise(plan, model, encoded, signal, options.log, kept?.repaint);
  const decoding = performance.now();
  let picture = yield* staged('decode', decode(plan, x, encoded, model.decoder(encoded.canvas)));
  yield { type: 'decode-end', milliseconds: performance.now() - decoding };
  if (plan.faces) {
    const tools = { model, memo, residents, options, signal };
    picture = yield* refineFaces(plan, plan.faces, picture, tools);
  }
  if (kept) picture = kept.restore(picture);
  const checked = plan.safety && {
    nsfw: yield* staged('safety', checkContent(picture, plan.safety, residents, options.threads)),
  };
  const encodedImage = await encodeImage(picture, plan.output.format, plan.output.quality);
  const image = embedPlan(encodedImage, plan, encoded.warnings);
  yield { type: 'image', image: { ...image, ...checked }, milliseconds: performance.now() - begin };
}

async function* load(plan: Plan, { residents, loras, options }: Keeping): Events<LoadedModel> {
  const begin = performance.now();
  const model = await openModel(plan, residents, options);
  // Before the model is loaded, so that a file that cannot be used is refused at once.
  model.loras = yield* staged('load', loras.open(plan.loras, model.components));
  if (plan.faces) yield* staged('load', openDetector(plan.faces.detector, residents, options.threads));
  if (plan.safety) yield* staged('load', openClassifier(plan.safety, residents, options.threads));
  yield* staged('load', model.warmUp());
  const { device } = plan.numerics;
  yield { type: 'load-end', milliseconds: performance.now() - begin, device, precision: model.precision };
  return model;
}
