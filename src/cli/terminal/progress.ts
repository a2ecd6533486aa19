/** An edit's progress as a line of text: pure functions of the engine's events. */

import type { EngineEvent } from '../../engine/plan.ts';
import type { ProgressState } from '../../tasks/forecast/image-progress.ts';
import { bytesText, formatDuration } from '../../tasks/forecast/progress-text.ts';

export type Progress = {
  /** The current stage, by the end events received so far. */
  stage: Stage;
  /** Work reported inside it, such as loading the transformer before the first step. */
  inside: { stage: Stage; message: string; fraction: number } | undefined;
  /** Share of the step under way, and its blocks in words. */
  blocks?: { message: string; fraction: number } | undefined;
  step: number;
  steps: number;
  /** Durations of the last steps in milliseconds. */
  recent: readonly number[];
};

type Stage = 'Loading' | 'Encoding' | 'Editing' | 'Decoding' | 'Refining' | 'Checking';

/** The first steps are slower than the rest, so that a mean over all would mislead. */
const window = 5;

export const noProgress: Progress = { stage: 'Loading', inside: undefined, step: 0, steps: 0, recent: [] };

const stages = {
  load: 'Loading',
  encode: 'Encoding',
  denoise: 'Editing',
  decode: 'Decoding',
  faces: 'Refining',
  safety: 'Checking',
} as const;

export function follow(progress: Progress, event: EngineEvent): Progress {
  const within = (stage: Stage): Progress => ({ ...progress, stage, inside: undefined, blocks: undefined });
  switch (event.type) {
    case 'stage-progress': {
      const { message, fraction } = event;
      if (event.stage === 'denoise') return { ...progress, inside: undefined, blocks: { message, fraction } };
      const stage = stages[event.stage];
      // Decoding a preview counts as editing, not as the decoding stage.
      if (fraction >= 1 || (stage === 'Decoding' && progress.stage === 'Editing'))
        return within(progress.stage);
      return { ...progress, inside: { stage, message, fraction } };
    }
    case 'load-end':
      return within('Encoding');
    case 'encode-end':
      return within('Editing');
    case 'step-end': {
      const step = event.index + 1;
      const recent = [...progress.recent, event.milliseconds].slice(-window);
      const after = within(step === event.steps ? 'Decoding' : 'Editing');
      return { ...after, step, steps: event.steps, recent };
    }
    default:
      return within(progress.stage);
  }
}

/** `Editing   ██████░░░░  step 3 of 28 · 1.24 s/it · 31 s left`, cut to the terminal. */
export function formatProgress(progress: Progress, columns: number, state?: ProgressState): string {
  const line = `${stageOf(progress).padEnd(8)}  ${bar(fractionOf(progress), 24)}  ${describe(progress, state)}`;
  return line.slice(0, Math.max(columns - 1, 0)).trimEnd();
}

/** The same for a log: `Editing: step 3 of 28 · 1.24 s/it · 31 s left`. */
export function formatPlain(progress: Progress, state?: ProgressState): string {
  const description = describe(progress, state);
  return description === '' ? stageOf(progress) : `${stageOf(progress)}: ${description}`;
}

function stageOf({ stage, inside }: Progress): Stage {
  return inside?.stage ?? stage;
}

function fractionOf({ stage, inside, blocks, step, steps }: Progress): number {
  if (inside) return inside.fraction;
  return stage === 'Editing' && steps > 0 ? (step + (blocks?.fraction ?? 0)) / steps : 0;
}

/** With the clock's state also elapsed time, bytes a second and the forecast; without, what the events alone tell. */
function describe({ stage, inside, blocks, step, steps, recent }: Progress, state?: ProgressState): string {
  if (inside) {
    const percent = inside.fraction > 0 ? [`${Math.floor(inside.fraction * 100)} %`] : [];
    return [...percent, inside.message, ...(state ? bytesText(state) : []), ...elapsedText(state)].join(
      ' · ',
    );
  }
  if (stage !== 'Editing') return elapsedText(state).join('');
  const left = state?.left;
  if (step === 0) {
    if (left === undefined) return [blocks?.message ?? 'first step', ...elapsedText(state)].join(' · ');
    return [blocks?.message ?? `step 1 of ${state!.steps}`, `about ${formatDuration(left)} left`].join(' · ');
  }
  const mean = recent.reduce((sum, value) => sum + value, 0) / recent.length / 1000;
  const pace = `${mean.toFixed(mean < 10 ? 2 : 1)} s/it`;
  return `step ${step} of ${steps} · ${pace} · ${formatDuration(left ?? mean * (steps - step))} left`;
}

/** Seconds that the phase has taken, of those that the forecast leaves it; nothing for a phase that just began. */
function elapsedText(state: ProgressState | undefined): string[] {
  if (!state || state.elapsed < 2 || state.bytes) return [];
  const isLast = state.phase === 'decode' && state.left !== undefined && state.left >= 1;
  return [formatDuration(state.elapsed), ...(isLast ? [`about ${formatDuration(state.left!)} left`] : [])];
}

function bar(fraction: number, width: number): string {
  const full = Math.round(Math.min(Math.max(fraction, 0), 1) * width);
  return '█'.repeat(full) + '░'.repeat(width - full);
}

/** Whether to log a line: at a new stage, at each quarter of the steps, and after a long silence. */
export function isNews(before: Progress, after: Progress, silentMilliseconds: number): boolean {
  if (stageOf(before) !== stageOf(after)) return true;
  if (silentMilliseconds >= 10_000) return after !== before;
  const quarter = (progress: Progress) => Math.floor(fractionOf(progress) * 4);
  return after.stage === 'Editing' && !after.inside && quarter(before) !== quarter(after);
}
