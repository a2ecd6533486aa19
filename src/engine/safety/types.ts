import type { Bitmap } from '../image/pixels.ts';
import type { Progress } from '../networks/compile.ts';
import type { Need } from '../networks/residents.ts';
import type { ToolSource } from '../plan.ts';

export type ContentClassifier = {
  /** The classes' probabilities by their names. */
  classify(bitmap: Bitmap): Promise<Record<string, number>>;
  /** Those whose probabilities are added up; the sum is held against the threshold. */
  unsafe: readonly string[];
  threshold: number;
  release(): Promise<void>;
};

export type ClassifierKind = {
  need(source: ToolSource): Need;
  load(source: ToolSource, threads: number): AsyncGenerator<Progress, ContentClassifier>;
};
