import type { Bitmap } from '../image/pixels.ts';
import type { Progress } from '../networks/compile.ts';
import type { Need } from '../networks/residents.ts';
import type { ToolSource } from '../plan.ts';
import type { Face } from './boxes.ts';

export type FaceDetector = {
  /** Faces with at least this score; in pixels, they may reach beyond the picture. */
  detect(bitmap: Bitmap, confidence: number): Promise<Face[]>;
  release(): Promise<void>;
};

export type DetectorKind = {
  need(source: ToolSource): Need;
  load(source: ToolSource, threads: number): AsyncGenerator<Progress, FaceDetector>;
};
