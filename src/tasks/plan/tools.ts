/** Tools that analyse a finished image: a Task's `ultralytics` and `safety` → their parts of a Plan. */

import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import { safetyMode } from '../../api/tasks/image-inference-rules.ts';
import type { FaceRefinement, ToolSource } from '../../engine/plan.ts';
import type { GuidanceRange } from '../../store/manifest.ts';
import type { ModelStore, ToolCategory } from '../../store/models.ts';
import { clampGuidance } from './warnings.ts';

type Tools = Pick<ModelStore, 'findTool'>;

/** The prompts default to the picture's. */
export function planFaces(
  task: ImageInferenceTask,
  models: Tools,
  range: GuidanceRange | undefined,
): FaceRefinement | undefined {
  if (!task.ultralytics) return undefined;
  const { CFGScale, positivePrompt, negativePrompt, ...rest } = task.ultralytics;
  const prompt = positivePrompt || task.positivePrompt;
  return {
    ...rest,
    guidance: clampGuidance(CFGScale, range),
    detector: toolSource(models, 'face-detector'),
    prompt: prompt === '__BLANK__' ? '' : prompt,
    // Like the picture's negative prompt, ignored without guidance.
    negativePrompt: CFGScale > 1 ? negativePrompt || task.negativePrompt || '' : '',
  };
}

export function planSafety(task: ImageInferenceTask, models: Tools): ToolSource | undefined {
  return safetyMode(task) === 'fast' ? toolSource(models, 'safety-classifier') : undefined;
}

/** Architecture assumed for an operator's own tool whose manifest names none. */
const usual = { 'face-detector': 'ultralytics', 'safety-classifier': 'vit' } as const satisfies Record<
  ToolCategory,
  string
>;

export function toolSource(models: Tools, category: ToolCategory): ToolSource {
  const { air, architecture = usual[category], files, settings } = models.findTool(category);
  return { air, architecture, files, settings };
}
