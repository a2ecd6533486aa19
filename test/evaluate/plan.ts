import { encodeImage } from '../../src/engine/image.ts';
import type { Bitmap } from '../../src/engine/pixels.ts';
import { type Plan, type PlannedIpAdapter, plainNumerics, plainPlan } from '../../src/engine/plan.ts';
import type { ModelStore } from '../../src/store/models.ts';
import type { AdapterCase } from './adapters.ts';
import type { Scenes } from './scenes.ts';

const neutral = {
  faceDetector: undefined,
  combineMethod: 'concat',
  weight: 1,
  weightType: 'normal',
  weightComposition: 1,
  embedScaling: 'kv',
} as const satisfies Partial<PlannedIpAdapter>;

/** What the embedded model is asked to do in a case; `before` is the picture of the scene it is given. */
export async function planOf(
  task: AdapterCase,
  steps: number,
  before: Bitmap | undefined,
  { scenes, store }: { scenes: Scenes; store: ModelStore },
): Promise<Plan> {
  const png = async (picture: Bitmap) => (await encodeImage(picture, 'png', 100)).bytes;
  const { lora, ipAdapter, guide } = task;
  const loras = lora ? [{ air: lora, file: store.findAdapter('lora', lora)!.files.weights! }] : [];
  const adapters = ipAdapter
    ? [{ air: ipAdapter, files: store.findAdapter('ip-adapter', ipAdapter)!.files }]
    : [];
  const guides = guide ? [await png(scenes.render(guide, task))] : [];
  return {
    ...plainPlan,
    model: store.find('retouch:mini@1')!.source,
    prompt: task.prompt,
    references: before ? [await png(before)] : [],
    width: task.width,
    height: task.height,
    seed: BigInt(task.seed),
    steps,
    guidance: 2.5,
    numerics: { ...plainNumerics, precision: 'auto' },
    loras: loras.map((each) => ({ ...each, weight: 1, stage: 'both' })),
    ipAdapters: adapters.map(({ air, files }) => ({
      ...neutral,
      air,
      file: files.adapter!,
      imageEncoder: files.imageEncoder!,
      guides,
    })),
    output: { format: 'png', quality: 100 },
  };
}
