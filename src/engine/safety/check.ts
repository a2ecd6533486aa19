/** Looks at a finished picture, with whichever network the plan names. */
import { RetouchError } from '../../error.ts';
import type { Bitmap } from '../image/pixels.ts';
import type { Progress } from '../networks/compile.ts';
import type { Residents } from '../networks/residents.ts';
import type { ToolSource } from '../plan.ts';
import { nsfwMobilenet } from './mobilenet.ts';
import type { ClassifierKind, ContentClassifier } from './types.ts';
import { vit } from './vit.ts';

/** Every classifier by the `architecture` of its manifest. */
const classifiers = {
  'nsfw-mobilenet-v2': nsfwMobilenet,
  vit,
} satisfies Record<string, ClassifierKind>;

export const classifierNames = Object.keys(classifiers);

/**
 * The classifier of a source, loaded unless it still is. Always on the CPU.
 *
 * @throws RetouchError `modelConfigInvalid` when no classifier has the source's architecture, `notEnoughMemory`, or what
 *   is wrong with its files
 */
export async function* openClassifier(
  source: ToolSource,
  residents: Residents,
  threads: number,
): AsyncGenerator<Progress, ContentClassifier> {
  const { air, architecture, files } = source;
  const kind = (classifiers as Partial<Record<string, ClassifierKind>>)[architecture];
  if (!kind)
    throw new RetouchError(
      'modelConfigInvalid',
      `the safety classifier ${air} has the architecture '${architecture}'; known are ${classifierNames.join(', ')}`,
      { air, architecture },
    );
  const key = `content classifier ${air} (${files.weights}, ${JSON.stringify(source.settings)})`;
  return yield* residents.acquire(key, kind.need(source), () => kind.load(source, threads));
}

/** Whether the probabilities of the unsafe classes add up to the threshold. Throws as `openClassifier` does. */
export async function* checkContent(
  bitmap: Bitmap,
  source: ToolSource,
  residents: Residents,
  threads: number,
): AsyncGenerator<Progress, boolean> {
  const classifier = yield* openClassifier(source, residents, threads);
  const found = await classifier.classify(bitmap);
  const sum = classifier.unsafe.reduce((total, name) => total + found[name]!, 0);
  return sum >= classifier.threshold;
}
