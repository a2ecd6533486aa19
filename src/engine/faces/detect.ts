/** The detector of faces that a plan names, and the faces it finds. */
import { EngineError } from '../errors.ts';
import type { Bitmap } from '../image/pixels.ts';
import type { Loadable } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import { arrange, type Face } from './boxes.ts';
import { ssdMobilenet } from './ssd.ts';
import type { DetectorKind, FaceDetector } from './types.ts';
import { ultralytics } from './ultralytics.ts';

/** Every detector by the `architecture` of its manifest. */
const detectors = {
  'ssd-mobilenet-v1': ssdMobilenet,
  ultralytics,
} satisfies Record<string, DetectorKind>;

const detectorNames = Object.keys(detectors);

/**
 * Always on the CPU.
 *
 * @throws RetouchError `modelConfigInvalid` when no detector has the source's architecture; loading throws the errors
 * of its files
 */
export function faceDetector(source: ToolSource, threads: number): Loadable<FaceDetector> {
  const { air, architecture, files } = source;
  const kind = (detectors as Partial<Record<string, DetectorKind>>)[architecture];
  if (!kind)
    throw new EngineError(
      'modelConfigInvalid',
      `the face detector ${air} has the architecture '${architecture}'; known are ${detectorNames.join(', ')}`,
      { air, architecture },
    );
  return {
    // Settings are read at loading: a manifest whose settings were changed names another detector.
    key: `face detector ${air} (${files.weights}, ${JSON.stringify(source.settings)})`,
    need: kind.need(source),
    load: () => kind.load(source, threads),
  };
}

/** The faces of an image that score at least `confidence`, the largest first. */
export async function findFaces(detector: FaceDetector, image: Bitmap, confidence: number): Promise<Face[]> {
  return arrange(await detector.detect(image, confidence), image);
}

/** The largest face that is more likely one than not: for adapters that take an image of one person. */
export async function largestFace(detector: FaceDetector, image: Bitmap): Promise<Face | undefined> {
  return (await findFaces(detector, image, 0.5))[0];
}
