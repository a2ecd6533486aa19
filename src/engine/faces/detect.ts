/** Finds faces in pictures, with whichever network the plan names. */
import { RetouchError } from '../../error.ts';
import type { Bitmap } from '../image/pixels.ts';
import type { Progress } from '../networks/compile.ts';
import type { Residents } from '../networks/residents.ts';
import type { ToolSource } from '../plan.ts';
import { arrange, type Face } from './boxes.ts';
import { ssdMobilenet } from './ssd.ts';
import type { DetectorKind, FaceDetector } from './types.ts';
import { ultralytics } from './ultralytics.ts';

/** Every detector by the `architecture` of its manifest. */
const detectors = {
  'ssd-mobilenet-v1': ssdMobilenet,
  ultralytics,
} satisfies Record<string, DetectorKind>;

export const detectorNames = Object.keys(detectors);

/**
 * The detector of a source, loaded unless it still is. Always on the CPU.
 *
 * @throws RetouchError `modelConfigInvalid` when no detector has the source's architecture, `notEnoughMemory`, or what
 *   is wrong with its files
 */
export async function* openDetector(
  source: ToolSource,
  residents: Residents,
  threads: number,
): AsyncGenerator<Progress, FaceDetector> {
  const { air, architecture, files } = source;
  const kind = (detectors as Partial<Record<string, DetectorKind>>)[architecture];
  if (!kind)
    throw new RetouchError(
      'modelConfigInvalid',
      `the face detector ${air} has the architecture '${architecture}'; known are ${detectorNames.join(', ')}`,
      { air, architecture },
    );
  // Settings are read when it is loaded: those of a manifest that was changed are another detector's.
  const key = `face detector ${air} (${files.weights}, ${JSON.stringify(source.settings)})`;
  return yield* residents.acquire(key, kind.need(source), () => kind.load(source, threads));
}

/** The faces of a picture that score at least `confidence`, the largest first. Throws as `openDetector` does. */
export async function* detectFaces(
  bitmap: Bitmap,
  source: ToolSource,
  confidence: number,
  residents: Residents,
  threads: number,
): AsyncGenerator<Progress, Face[]> {
  const detector = yield* openDetector(source, residents, threads);
  return arrange(await detector.detect(bitmap, confidence), bitmap);
}

/** The largest face, with some certainty that it is one: for what takes a picture of one person. */
export async function* detectLargestFace(
  bitmap: Bitmap,
  source: ToolSource,
  residents: Residents,
  threads: number,
): AsyncGenerator<Progress, Face | undefined> {
  const [largest] = yield* detectFaces(bitmap, source, 0.5, residents, threads);
  return largest;
}
