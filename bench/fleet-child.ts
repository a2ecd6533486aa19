/** An engine that takes 50 ms for every image, in the place of the real one: for `bench fleet`. */

import { setTimeout as sleep } from 'node:timers/promises';
import type { Engine } from '../src/engine/engine.ts';
import type { EngineEvent, Plan } from '../src/engine/plan.ts';
import { serveParent } from '../src/engine/process/serve-parent.ts';

/** Milliseconds of one image. */
const duration = 50;

serveParent((): Engine => {
  async function* run({ width, height, output }: Plan): AsyncGenerator<EngineEvent> {
    const begun = performance.now();
    yield { type: 'load-end', milliseconds: 0, device: 'cpu', precision: 'f32' };
    await sleep(duration - (performance.now() - begun));
    const bytes = new Uint8Array(100_000);
    yield { type: 'image', image: { bytes, format: output.format, width, height }, milliseconds: duration };
  }
  return { run, release: async () => {} };
});
