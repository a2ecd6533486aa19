/** The bundled classifier: infinitered/nsfwjs `NSFWJS.classify` with its MobileNetV2. */
import { resizeBilinear } from '../image/bilinear.ts';
import { mobilenetV2Graph, mobilenetV2Size } from '../models/mobilenet-v2.ts';
import { compile, releaseAll } from '../networks/compile.ts';
import { checkTool } from '../networks/finite.ts';
import type { Loading } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import { f32Tensor, floats } from '../onnx/tensor.ts';
import { openCheckpoint } from '../weights/checkpoint.ts';
import { mobilenetV2Dialects } from '../weights/dialects/mobilenet.ts';
import { WeightSource } from '../weights/source.ts';
import { byName, readUnsafe } from './settings.ts';
import type { ClassifierKind, ContentClassifier } from './types.ts';

const classes = ['Drawing', 'Hentai', 'Neutral', 'Porn', 'Sexy'];

export const nsfwMobilenet: ClassifierKind = {
  /** 2.6 M weights in f32, and the largest layers' activations, [96, 112, 112] thrice. */
  need: () => ({ bytes: 11e6, working: 15e6 }),
  load,
};

async function* load(source: ToolSource, threads: number): Loading<ContentClassifier> {
  const weights = new WeightSource(openCheckpoint(source.files.weights!), mobilenetV2Dialects);
  const compute = { precision: 'f32', fused: true } as const;
  const options = { device: 'cpu', threads, arena: false } as const;
  const build = () => mobilenetV2Graph(weights, compute);
  // "Sexy" is people at the beach as well.
  const unsafe = readUnsafe(source, classes, { unsafe: ['Porn', 'Hentai'], threshold: 0.7 });
  const sessions = yield* compile({
    name: 'content classifier',
    source: weights,
    graphs: { network: { build } },
    compute,
    options,
  });
  const side = mobilenetV2Size;
  return {
    ...unsafe,
    classify: async (bitmap) => {
      const pixels = resizeBilinear(bitmap, { width: side, height: side }, 'align-corners');
      const image = f32Tensor(
        pixels.map((value) => value / 255),
        [1, 3, side, side],
      );
      const { probabilities } = await sessions.network.run({ image });
      const who = `the safety classifier ${source.files.weights}`;
      return byName(classes, checkTool(floats(probabilities!), 'The verdict', who));
    },
    release: () => releaseAll(sessions),
  };
}
