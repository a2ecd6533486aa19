/** Parameters of a valid task that have no effect, as sentences for the log and getTaskDetails. */

import type { ImageInferenceTask } from '../../api/tasks/image-inference.ts';
import type { EngineWarning } from '../../engine/warnings.ts';
import type { GuidanceRange } from '../../store/manifest.ts';
import type { Model } from '../../store/models.ts';

export function clampGuidance(guidance: number, range: GuidanceRange | undefined): number {
  return range ? Math.min(Math.max(guidance, range.min), range.max) : guidance;
}

export const planWarningTable = {
  guidanceClamped: 'A guidance is outside the range that the model was trained with.',
  negativePromptUnused: 'A negative prompt has no effect without a negative pass.',
  trueCfgUnused: 'A true guidance scale below 1 has no effect.',
} as const;

/** A warning as it is stored and answered. */
export type Warning = { code: keyof typeof planWarningTable | EngineWarning['code']; message: string };

export function planWarnings(task: ImageInferenceTask, model: Model): Warning[] {
  const asked = task.CFGScale ?? model.defaults.guidance;
  const faces = task.ultralytics && task.ultralytics.strength > 0 ? task.ultralytics.CFGScale : undefined;
  const found: (Warning | undefined)[] = [
    outOfRange('CFGScale', asked, model),
    faces === undefined ? undefined : outOfRange('ultralytics.CFGScale', faces, model),
    explainNegative(task, asked),
    task.trueCFGScale !== undefined && task.trueCFGScale < 1
      ? warning('trueCfgUnused', `'trueCFGScale' is ${task.trueCFGScale}; it acts above 1 only.`)
      : undefined,
  ];
  return found.filter((each) => each !== undefined);
}

function warning(code: Warning['code'], message: string): Warning {
  return { code, message };
}

function outOfRange(name: string, asked: number, { air, guidance: range }: Model): Warning | undefined {
  const used = clampGuidance(asked, range);
  if (!range || used === asked) return undefined;
  return warning(
    'guidanceClamped',
    `'${name}' is ${asked}; ${air} draws well with ${range.min} to ${range.max}, so ${used} is used.`,
  );
}

function explainNegative(
  { negativePrompt, trueCFGScale = 1 }: ImageInferenceTask,
  guidance: number,
): Warning | undefined {
  if (!negativePrompt) return undefined;
  if (guidance <= 1)
    return warning('negativePromptUnused', "'negativePrompt' has no effect while 'CFGScale' is 1 or less.");
  return trueCFGScale > 1
    ? undefined
    : warning('negativePromptUnused', "'negativePrompt' has no effect without a 'trueCFGScale' above 1.");
}
