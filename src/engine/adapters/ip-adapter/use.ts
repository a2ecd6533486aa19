/** A plan's IP-Adapter with its files opened: a file that is missing or does not fit is found before anything is loaded. */
import type { FluxConfig } from '../../models/flux-config.ts';
import type { ToolSource } from '../../networks/tool-source.ts';
import type { CombineMethod } from './combine.ts';
import { type OpenIpAdapter, openIpAdapter } from './index.ts';
import type { EmbedScaling } from './scaling.ts';
import { type OpenVisionEncoder, openVisionEncoder } from './vision-encoder.ts';
import type { WeightType } from './weights.ts';

/** An IP-Adapter as a Plan has it, with its guide images; see docs/guide/ip-adapters.md. */
export type PlannedIpAdapter = {
  air: string;
  /** The adapter's weights, and the folder or file of the encoder that sees the guide images. */
  file: string;
  imageEncoder: string;
  /** Encoded images, at least one. */
  guides: readonly Uint8Array[];
  /** The detector that crops each guide image to its largest face, for adapters of faces; undefined takes the whole image. */
  faceDetector: ToolSource | undefined;
  combineMethod: CombineMethod;
  /** 0 has no influence; a negative weight steers away. */
  weight: number;
  weightType: WeightType;
  /** Weight of the composition, for the weight types that treat it apart. */
  weightComposition: number;
  embedScaling: EmbedScaling;
};

export type IpAdapterUse = { planned: PlannedIpAdapter; adapter: OpenIpAdapter; encoder: OpenVisionEncoder };

/** @throws RetouchError as `openVisionEncoder` and `openIpAdapter` do */
export function useIpAdapter(
  planned: PlannedIpAdapter,
  { depth, depthSingle, hidden }: FluxConfig,
): IpAdapterUse {
  const encoder = openVisionEncoder(planned.imageEncoder);
  const fit = { depth, depthSingle, hidden, features: encoder.config.features };
  return { planned, adapter: openIpAdapter(planned.file, fit), encoder };
}

/** Tokens that the guide images of one adapter become. */
export function imagePromptTokens({ planned, adapter }: Omit<IpAdapterUse, 'encoder'>): number {
  return adapter.config.tokens * (planned.combineMethod === 'concat' ? planned.guides.length : 1);
}
