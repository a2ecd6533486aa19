/** Reuses whatever the distance, as far as the window and the limit of steps in a row allow. */
import type { StepCache } from './types.ts';

export const patient: StepCache = {
  title: 'Patient cache',
  after: 'first',
  against: 'computed',
  decider: (threshold) => ({ allows: () => threshold > 0, computed: () => {} }),
};
