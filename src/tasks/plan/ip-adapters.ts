/** The IP-Adapters of a task as its Plan has them. */

import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { PlannedIpAdapter } from '../../engine/plan.ts';
import type { ModelStore } from '../../store/models.ts';
import { unetIpAdapters } from '../../store/unet-ip-adapters.ts';
import type { Inputs } from '../inputs/resolve.ts';
import { toolSource } from './tools.ts';

/** The parser has checked that each is installed, and adapters stay while the server runs. */
export function planIpAdapters(
  { ipAdapters = [] }: ImageInferenceTask,
  { guides }: Pick<Inputs, 'guides'>,
  models: Pick<ModelStore, 'findAdapter' | 'findTool'>,
): PlannedIpAdapter[] {
  return ipAdapters.map(({ model: air, guideImages: _, weight, weightComposition = 1, ...rest }, index) => {
    const { files } = models.findAdapter('ip-adapter', air)!;
    const { face, light } = unetIpAdapters[air] ?? {};
    return {
      ...rest,
      air,
      file: files.adapter!,
      imageEncoder: files.imageEncoder!,
      guides: guides[index]!.map(({ bytes }) => bytes),
      faceDetector: face && toolSource(models, 'face-detector'),
      weight: light ? weight / 2 : weight,
      weightComposition,
    };
  });
}
