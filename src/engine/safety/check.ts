/** The classifier that a plan names, and its verdict on a finished image. */
import { EngineError } from '../errors.ts';
import type { Bitmap } from '../image/pixels.ts';
import type { Loadable } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import { nsfwMobilenet } from './mobilenet.ts';
import type { ClassifierKind, ContentClassifier } from './types.ts';
import { vit } from './vit.ts';

/** Every classifier by the `architecture` of its manifest. */
const classifiers = {
  'nsfw-mobilenet-v2': nsfwMobilenet,
  vit,
} satisfies Record<string, ClassifierKind>;

const classifierNames = Object.keys(classifiers);

/**
 * Always on the CPU.
 *
 * @throws RetouchError `modelConfigInvalid` when no classifier has the source's architecture; loading throws the errors
 * of its files
 */
export function contentClassifier(source: ToolSource, threads: number): Loadable<ContentClassifier> {
  const { air, architecture, files } = source;
  const kind = (classifiers as Partial<Record<string, ClassifierKind>>)[architecture];
  if (!kind)
    throw new EngineError(
      'modelConfigInvalid',
      `the safety classifier ${air} has the architecture '${architecture}'; known are ${classifierNames.join(', ')}`,
      { air, architecture },
    );
  return {
    key: `content classifier ${air} (${files.weights}, ${JSON.stringify(source.settings)})`,
    need: kind.need(source),
    load: () => kind.load(source, threads),
  };
}

/** Whether the probabilities of the unsafe classes add up to the threshold. */
export async function isUnsafe(classifier: ContentClassifier, image: Bitmap): Promise<boolean> {
  const found = await classifier.classify(image);
  const sum = classifier.unsafe.reduce((total, name) => total + found[name]!, 0);
  return sum >= classifier.threshold;
}
