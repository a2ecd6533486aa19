/** One plan under way. */
import { EngineError } from '../errors.ts';
import type { Plan } from '../plan.ts';
import type { EncodingMemo } from './encode.ts';
import type { Model } from './model.ts';

export type Run = {
  plan: Plan;
  model: Model;
  memo: EncodingMemo;
  signal: AbortSignal;
  log: (line: string) => void;
};

/** @throws RetouchError `engineAborted` once the signal has fired */
export function checkAborted(signal: AbortSignal): void {
  if (signal.aborted) throw new EngineError('engineAborted', 'The run was stopped.');
}
