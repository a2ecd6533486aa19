/** The child process of host.ts: its program is the engine. */

import { serveParent } from './serve-parent.ts';

// Imported on the first run, so that a native library that does not load is an error of that run with its reason, and
// not a crash of the child at its start.
serveParent(async (options) => (await import('../pipeline/kontext.ts')).createEngine(options));
