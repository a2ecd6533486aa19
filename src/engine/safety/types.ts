import type { Bitmap } from '../image/pixels.ts';
import type { Loading, Need } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';

export type ContentClassifier = {
  /** The classes' probabilities by their names. */
  classify(bitmap: Bitmap): Promise<Record<string, number>>;
  /** Classes whose probabilities are added up; the sum is compared with the threshold. */
  unsafe: readonly string[];
  threshold: number;
  release(): Promise<void>;
};

export type ClassifierKind = {
  need(source: ToolSource): Need;
  load(source: ToolSource, threads: number): Loading<ContentClassifier>;
};
