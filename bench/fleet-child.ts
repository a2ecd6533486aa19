/** An engine that takes the milliseconds which the prompt names and computes nothing, for `bench fleet`. */

import type { Engine } from '../src/engine/engine.ts';
import type { EngineEvent, Plan } from '../src/engine/plan.ts';
import { serveParent } from '../src/engine/process/serve-parent.ts';

const never = new Int32Array(new SharedArrayBuffer(4));

serveParent((): Engine => {
  async function* run({ prompt, width, height, output }: Plan): AsyncGenerator<EngineEvent> {
    const duration = Number.parseFloat(prompt);
    const end = performance.now() + duration;
    yield { type: 'load-end', milliseconds: 0, device: 'cpu', precision: 'f32' };
    const rest = end - performance.now();
    // Blocks the thread, as a step does. A timer would be up to a millisecond late, which is of the size of what is measured.
    if (rest > 0) Atomics.wait(never, 0, 0, rest);
    const bytes = new Uint8Array(100_000);
    yield { type: 'image', image: { bytes, format: output.format, width, height }, milliseconds: duration };
  }
  return { run, release: async () => {} };
});
