/**
 * The program of the process that decoder.ts forks: decodes one image at a time. It exits when an image takes too much
 * processor time, so that the limit does not depend on other load.
 */
import { toErrorData } from '../../error.ts';
import { EngineError } from '../errors.ts';
import type { FromDecoder, ToDecoder } from './decoder.ts';
import { decodeImage, prepareUpload, probeImage } from './image-codec.ts';
import { prepareMask } from './mask.ts';

/** Milliseconds between two checks of the processor time. */
const interval = 100;

// The parent decides when this process ends: Ctrl-C signals the whole process group.
for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => {});
process.once('disconnect', () => process.exit(0));
if (!process.connected) process.exit(0);

process.on('message', (message: ToDecoder) => {
  const before = process.cpuUsage();
  const watch = setInterval(() => {
    const { user, system } = process.cpuUsage(before);
    if ((user + system) / 1e6 < message.seconds) return;
    clearInterval(watch);
    const slow = new EngineError('imageTooSlow', tooSlow(message.seconds), { seconds: message.seconds });
    // Native code cannot be stopped; the answer is sent first.
    process.send?.({ error: toErrorData(slow) } satisfies FromDecoder, undefined, undefined, () =>
      process.kill(process.pid, 'SIGKILL'),
    );
  }, interval);
  work(message)
    .then(
      (value): FromDecoder => ({ value }),
      (error): FromDecoder => ({ error: toErrorData(error) }),
    )
    .then((answer) => {
      clearInterval(watch);
      process.send?.(answer, undefined, undefined, () => {});
    });
});

async function work(message: ToDecoder) {
  const { bytes, pixelLimit } = message;
  if (message.work === 'upload') return prepareUpload(bytes, message.longestSide, pixelLimit);
  if (message.work === 'mask') return prepareMask(bytes, message.sense, pixelLimit);
  const info = await probeImage(bytes, pixelLimit);
  await decodeImage(bytes, pixelLimit);
  return info;
}

function tooSlow(seconds: number): string {
  return `Decoding the image took more than ${seconds} s of processor time, which is the limit.`;
}
