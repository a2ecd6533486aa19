/** A plan's IP-Adapter with its files opened: a file that is missing or does not fit is found before anything is loaded. */

import type { FluxConfig } from '../../models/flux-config.ts';
import type { PlannedIpAdapter } from '../../plan.ts';
import { type OpenGuideEncoder, openGuideEncoder } from './image-encoder.ts';
import { type OpenIpAdapter, openIpAdapter } from './index.ts';

export type OpenGuide = { planned: PlannedIpAdapter; adapter: OpenIpAdapter; encoder: OpenGuideEncoder };

export function openGuide(planned: PlannedIpAdapter, { depth, depthSingle, hidden }: FluxConfig): OpenGuide {
  const encoder = openGuideEncoder(planned.imageEncoder);
  const fit = { depth, depthSingle, hidden, features: encoder.config.features };
  return { planned, adapter: openIpAdapter(planned.file, fit), encoder };
}

/** How many tokens the guide pictures of one adapter become. */
export function guideTokens({ planned, adapter }: Omit<OpenGuide, 'encoder'>): number {
  return adapter.config.tokens * (planned.combineMethod === 'concat' ? planned.guides.length : 1);
}
