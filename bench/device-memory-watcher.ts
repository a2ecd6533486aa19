/** The thread of device-memory.ts: ONNX Runtime blocks the main one. Keeps the most bytes it has seen in shared memory. */
import fs from 'node:fs';
import { workerData } from 'node:worker_threads';

/** Milliseconds between samples. */
const interval = 25;
const { peak } = workerData as { peak: SharedArrayBuffer };
const most = new Float64Array(peak);

/** Bytes of lavapipe's buffers, each a mapping of one file in memory, whether or not their pages have been written yet. */
function mapped(): number {
  const maps = fs.readFileSync('/proc/self/maps', 'utf8').matchAll(/^(\w+)-(\w+) .*memfd:allocation fd/gm);
  return maps.reduce((sum, [, from, to]) => sum + Number(`0x${to}`) - Number(`0x${from}`), 0);
}

setInterval(() => {
  const text = fs.readFileSync('/proc/self/status', 'utf8');
  const kib = (name: string) => Number(new RegExp(`${name}:\\s+(\\d+)`).exec(text)?.[1] ?? 0);
  most[0] = Math.max(most[0]!, 1024 * (kib('RssAnon') + kib('RssShmem')));
  most[1] = Math.max(most[1]!, mapped());
}, interval);
