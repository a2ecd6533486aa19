import { encodeImage } from '../../src/engine/image/image-codec.ts';
import type { Bitmap } from '../../src/engine/image/pixels.ts';
import {
  type Plan,
  type PlannedIpAdapter,
  type PlannedLora,
  plainNumerics,
  plainPlan,
} from '../../src/engine/plan.ts';
import type { ModelStore } from '../../src/store/models.ts';
import type { AdapterCase } from './adapters.ts';
import type { Scenes } from './scenes.ts';

/** The request of a case to the embedded model; `before` is the picture of the scene. */
export async function planOf(
  task: AdapterCase,
  steps: number,
  before: Bitmap | undefined,
  { scenes, store }: { scenes: Scenes; store: ModelStore },
): Promise<Plan> {
  const png = async (picture: Bitmap) => (await encodeImage(picture, 'png', 100)).bytes;
  const { lora, ipAdapter } = task;
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
    loras: lora ? [plannedLora(lora, store)] : [],
    ipAdapters: ipAdapter
      ? [plannedIpAdapter(ipAdapter.air, await png(scenes.render(ipAdapter.guide, task)), store)]
      : [],
    output: { format: 'png', quality: 100 },
  };
}

function plannedLora(air: string, store: ModelStore): PlannedLora {
  return { air, file: store.findAdapter('lora', air)!.files.weights!, weight: 1, stage: 'both' };
}

function plannedIpAdapter(air: string, guide: Uint8Array, store: ModelStore): PlannedIpAdapter {
  const { adapter, imageEncoder } = store.findAdapter('ip-adapter', air)!.files;
  return {
    air,
    file: adapter!,
    imageEncoder: imageEncoder!,
    guides: [guide],
    faceDetector: undefined,
    combineMethod: 'concat',
    weight: 1,
    weightType: 'normal',
    weightComposition: 1,
    embedScaling: 'kv',
  };
}
