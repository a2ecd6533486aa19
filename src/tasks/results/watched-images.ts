/** Engine events of a task's images, collected until their watcher takes them. */

import type { ResultOf } from '../../api/results.ts';
import type { EngineEvent } from '../../engine/plan.ts';
import { mediaTypes } from '../../store/assets.ts';
import type { Follower } from '../follower.ts';

export type WatchItem = ResultOf<'watchTask'>;

/** Fields of one image. */
export type Facts = Omit<WatchItem, 'taskType' | 'taskUUID' | 'imageUUID' | 'status'>;

export class WatchedImages implements Follower {
  readonly previews: number;
  readonly #wake: () => void;
  /** A later value replaces an earlier one of the same field: a slow client gets the newest. */
  #facts = new Map<string, Facts>();

  /** `wake` is called when there are new values. */
  constructor(previews: number, wake: () => void) {
    this.previews = previews;
    this.#wake = wake;
  }

  onAccept(): void {
    this.#wake();
  }

  onEvent(result: string, event: EngineEvent): void {
    if (event.type === 'preview' && this.previews === 0) return;
    const facts = factsOf(event);
    if (!facts) return;
    this.#facts.set(result, { ...this.#facts.get(result), ...facts });
    this.#wake();
  }

  take(): ReadonlyMap<string, Facts> {
    const facts = this.#facts;
    this.#facts = new Map();
    return facts;
  }
}

function factsOf(event: EngineEvent): Facts | undefined {
  switch (event.type) {
    case 'stage-progress':
      return {
        ...{ phase: event.stage, message: event.message, fraction: event.fraction },
        ...(event.bytes ? { bytes: event.bytes } : {}),
      };
    case 'load-end':
      return { phase: 'encode' };
    case 'encode-end':
      return { phase: 'denoise' };
    case 'step-end': {
      const { index, steps, milliseconds } = event;
      return { phase: index + 1 < steps ? 'denoise' : 'decode', step: index + 1, steps, milliseconds };
    }
    case 'preview': {
      const { bytes, format } = event.image;
      const data = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('base64');
      return { previewDataURI: `data:${mediaTypes[format]};base64,${data}` };
    }
    case 'cache-end': {
      const { evaluations, reused, savedMilliseconds } = event;
      return { cache: { evaluations, reused, savedMilliseconds } };
    }
    case 'faces-end':
      return { faces: event.faces.length };
    default:
      return undefined;
  }
}
