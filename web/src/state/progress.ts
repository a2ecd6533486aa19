/** Progress and remaining time of an edit. */

export type LiveImage = {
  imageUUID: string;
  status: 'waiting' | 'processing' | 'success' | 'error';
  queuePosition?: number;
  phase?: string;
  message?: string;
  fraction?: number;
  step?: number;
  /** Percent of the image and seconds until it is there, where the server tells them. */
  progress?: number;
  secondsLeft?: number;
  steps?: number;
  preview?: Blob;
  cache?: { evaluations: number; reused: number; savedMilliseconds: number };
  faces?: number;
};

export type LiveEdit = {
  /** By UUID, in the order in which they are made. */
  images: ReadonlyMap<string, LiveImage>;
  /** Milliseconds of the last steps, for the time left. */
  stepTimes: readonly number[];
};

export type Progress = {
  /** 0 to 1 of the whole edit. */
  fraction: number;
  /** For people. */
  text: string;
  /** Seconds, where they can be reckoned. */
  left?: number;
};

const phases: Readonly<Record<string, string>> = {
  load: 'Loading the model',
  denoise: 'Step 1',
  encode: 'Reading the picture and the sentence',
  decode: 'Finishing',
  faces: 'Refining faces',
  safety: 'Checking the content',
};

/** `count` images are asked for, of `steps` steps where the server has not said how many yet. */
export function progressOf(edit: LiveEdit | undefined, count: number, steps: number): Progress {
  const images = [...(edit?.images.values() ?? [])];
  const ended = images.filter(({ status }) => status === 'success' || status === 'error').length;
  const active = images.find(({ status }) => status === 'processing');
  const total = active?.steps ?? steps;
  const done = active?.step ?? 0;
  const share = active?.progress === undefined ? (0.95 * done) / Math.max(1, total) : active.progress / 100;
  const fraction = Math.min(1, (ended + share) / count);
  const which = count > 1 ? `Image ${Math.min(count, ended + 1)} of ${count}: ` : '';
  if (!active) {
    const ahead = Math.min(...images.map(({ queuePosition = Number.POSITIVE_INFINITY }) => queuePosition));
    if (Number.isFinite(ahead) && ahead > 0)
      return { fraction, text: `In the queue: ${ahead === 1 ? '1 image' : `${ahead} images`} before it` };
    return { fraction, text: ended > 0 ? `${which}waiting` : 'Sent; waiting for the server' };
  }
  if (done === 0 || active.phase !== 'denoise') {
    const phase = phases[active.phase ?? ''] ?? 'Beginning';
    const percent =
      active.fraction === undefined || active.phase !== 'load'
        ? ''
        : ` ${Math.round(100 * active.fraction)} %`;
    const left = active.secondsLeft === undefined ? '' : `, ${formatLeft(active.secondsLeft)} left`;
    return { fraction, text: `${which}${phase}${percent}${left}` };
  }
  const times = edit?.stepTimes ?? [];
  const mean = times.reduce((sum, time) => sum + time, 0) / Math.max(1, times.length);
  const own = active.secondsLeft ?? (mean * (total - done)) / 1000;
  const left = own + ((count - ended - 1) * total * mean) / 1000;
  return { fraction, text: `${which}step ${done} of ${total}, ${formatLeft(left)} left`, left };
}

function formatLeft(seconds: number): string {
  if (seconds < 1) return 'less than a second';
  if (seconds < 90) return `${Math.round(seconds)} s`;
  return seconds < 5400 ? `${Math.round(seconds / 60)} min` : `${(seconds / 3600).toFixed(1)} h`;
}
