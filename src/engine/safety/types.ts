import type { Progress } from '../compile.ts';
import type { Bitmap } from '../pixels.ts';
import type { ToolSource } from '../plan.ts';
import type { Need } from '../residents.ts';

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
