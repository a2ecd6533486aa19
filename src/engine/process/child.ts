/** The child process of host.ts: its program is the engine. */

import { serveParent } from './serve-parent.ts';

// Imported on the first run, so that a runtime whose native library does not load is an error of that run, with
// its reason, and not a child that dies at birth.
serveParent(async (options) => (await import('../pipeline/kontext.ts')).createEngine(options));
