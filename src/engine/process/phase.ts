/** The activity of a run in words, so that an error can say where the run was interrupted. */

import type { EngineEvent, Plan, StageName } from '../plan.ts';

export type Phase = {
  /** Activity after the last reported end: a crash happens there. */
  after: string;
  /** Reported work within it, such as loading the transformer before the first step. */
  inside?: string;
};

export const firstPhase: Phase = { after: 'loading the model' };

const inside: Readonly<Record<StageName, string>> = {
  load: 'loading the model',
  encode: 'encoding the prompt and references',
  denoise: 'denoising',
  decode: 'decoding the image',
  faces: 'refining faces',
  safety: 'checking the content',
};

export function phaseAfter(event: EngineEvent, plan: Plan, phase: Phase): Phase {
  switch (event.type) {
    case 'warning':
      return phase;
    case 'stage-progress':
      if (event.fraction >= 1) return { after: phase.after };
      return { ...phase, inside: withDetail(inside[event.stage], event.message) };
    case 'load-end':
      return { after: inside.encode };
    case 'encode-end':
      return { after: stepPhase(0, plan.steps) };
    case 'step-end':
      return { after: stepPhase(event.index + 1, event.steps) };
    case 'preview':
    case 'cache-end':
    case 'references-end':
      return { after: phase.after };
    case 'decode-end':
    case 'faces-end':
    case 'image':
      return { after: 'finishing' };
  }
}

export function phaseText(phase: Phase): string {
  return phase.inside ?? phase.after;
}

function withDetail(text: string, detail: string): string {
  return detail === text ? text : `${text} (${detail})`;
}

function stepPhase(index: number, steps: number): string {
  return index < steps ? `computing step ${index + 1} of ${steps}` : inside.decode;
}
