import { bare } from './bare.ts';
import { bflControl } from './bfl-control.ts';
import { comfyui } from './comfyui.ts';
import { fal } from './fal.ts';
import type { Family } from './family.ts';
import { kohya } from './kohya.ts';
import { lycoris } from './lycoris.ts';
import { onetrainer } from './onetrainer.ts';
import { peft } from './peft.ts';
import { xlabs } from './xlabs.ts';

export type { Family } from './family.ts';

/** In the order of diffusers' detection: the more specific families come first. */
export const families = {
  kohya,
  onetrainer,
  lycoris,
  xlabs,
  bflControl,
  fal,
  comfyui,
  peft,
  bare,
} satisfies Record<string, Family>;
