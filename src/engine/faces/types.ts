import type { Bitmap } from '../image/pixels.ts';
import type { Loading, Need } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import type { Face } from './boxes.ts';

export type FaceDetector = {
  /** Faces with at least this score; in pixels, they may reach beyond the image. */
  detect(bitmap: Bitmap, confidence: number): Promise<Face[]>;
  release(): Promise<void>;
};

export type DetectorKind = {
  need(source: ToolSource): Need;
  load(source: ToolSource, threads: number): Loading<FaceDetector>;
};
