/** Progress in words, for a log and a terminal. */
import { formatBytes } from '../../bytes.ts';
import type { StageName } from '../../engine/plan.ts';
import type { ProgressState } from './image-progress.ts';

const phases: Readonly<Record<StageName, string>> = {
  load: 'Loading the model',
  encode: 'Encoding the prompt and the references',
  denoise: 'Denoising',
  decode: 'Decoding the image',
  faces: 'Refining faces',
  safety: 'Checking the content',
};

/** `Denoising: step 3 of 28, 8 of 57 blocks; 12 % done, about 2 h 40 min left.` */
export function progressText(state: ProgressState): string {
  const { phase, message, percent, left, elapsed } = state;
  const work = [message, ...bytesText(state)].filter((part) => part !== undefined).join(', ');
  const time = left === undefined ? `for ${formatDuration(elapsed)}` : `about ${formatDuration(left)} left`;
  return `${phases[phase]}${work === '' ? '' : `: ${work}`}; ${percent} % done, ${time}.`;
}

/** `1.2 GiB of 4.6 GiB, 80.1 MiB/s, 42 s left` in parts. */
export function bytesText({ bytes }: ProgressState): string[] {
  if (!bytes) return [];
  const { done, total, rate } = bytes;
  const pace =
    rate === undefined ? [] : [`${formatBytes(rate)}/s`, `${formatDuration((total - done) / rate)} left`];
  return [`${formatBytes(done)} of ${formatBytes(total)}`, ...pace];
}

export function formatDuration(seconds: number): string {
  const whole = Math.round(seconds);
  if (whole < 60) return `${whole} s`;
  if (whole < 3600) return `${Math.floor(whole / 60)} min ${whole % 60} s`;
  return `${Math.floor(whole / 3600)} h ${Math.floor((whole % 3600) / 60)} min`;
}
