/** `--faces` and `--face NAME=VALUE` → the wire's `ultralytics`. */

import { nearest } from '../../nearest.ts';
import { cliError } from './arguments.ts';

/** Name on the command line → parameter of the wire. */
export const faceParameters = {
  confidence: 'confidence',
  strength: 'strength',
  steps: 'steps',
  guidance: 'CFGScale',
  padding: 'maskPadding',
  blur: 'maskBlur',
  prompt: 'positivePrompt',
  negative: 'negativePrompt',
} as const;

const texts = ['prompt', 'negative'];

/** Undefined where neither flag is given. `exactNumber` parses a number and names the flag in its error. */
export function readFaces(
  faces: boolean | undefined,
  settings: readonly string[] | undefined,
  exactNumber: (flag: string, text: string) => unknown,
): Record<string, unknown> | undefined {
  if (!faces && !settings) return undefined;
  const wire: Record<string, unknown> = {};
  for (const setting of settings ?? []) {
    const [, name = setting, value] = setting.match(/^(.*?)=(.*)$/s) ?? [];
    const names = Object.keys(faceParameters);
    if (value === undefined || !names.includes(name)) {
      const guess = nearest(name, names);
      const hint = guess === undefined || guess === name ? '' : ` Did you mean '${guess}'?`;
      throw cliError(
        'flagInvalid',
        `--face is '${setting}'; expected NAME=VALUE, the name one of ${names.join(', ')}.${hint}`,
      );
    }
    const parameter = faceParameters[name as keyof typeof faceParameters];
    wire[parameter] = texts.includes(name) ? value : exactNumber(`face ${name}`, value);
  }
  return wire;
}
