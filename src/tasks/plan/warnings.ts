/** Parameters of a valid task that have no effect, as sentences for the log and getTaskDetails. */

import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { GuidanceRange } from '../../store/manifest.ts';
import type { Model } from '../../store/models.ts';

export function clampGuidance(guidance: number, range: GuidanceRange | undefined): number {
  return range ? Math.min(Math.max(guidance, range.min), range.max) : guidance;
}

export function planWarnings(task: ImageInferenceTask, model: Model): string[] {
  const asked = task.CFGScale ?? model.defaults.guidance;
  const faces = task.ultralytics && task.ultralytics.strength > 0 ? task.ultralytics.CFGScale : undefined;
  return [
    outOfRange('CFGScale', asked, model),
    faces === undefined ? undefined : outOfRange('ultralytics.CFGScale', faces, model),
    explainNegative(task, asked),
    task.trueCFGScale !== undefined && task.trueCFGScale < 1
      ? `'trueCFGScale' is ${task.trueCFGScale}; it acts above 1 only.`
      : undefined,
  ].filter((warning) => warning !== undefined);
}

function outOfRange(name: string, asked: number, { air, guidance: range }: Model): string | undefined {
  const used = clampGuidance(asked, range);
  if (!range || used === asked) return undefined;
  return `'${name}' is ${asked}; ${air} draws well with ${range.min} to ${range.max}, so ${used} is used.`;
}

function explainNegative(
  { negativePrompt, trueCFGScale = 1 }: ImageInferenceTask,
  guidance: number,
): string | undefined {
  if (!negativePrompt) return undefined;
  if (guidance <= 1) return "'negativePrompt' has no effect while 'CFGScale' is 1 or less.";
  return trueCFGScale > 1 ? undefined : "'negativePrompt' has no effect without a 'trueCFGScale' above 1.";
}
