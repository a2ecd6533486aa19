/** The networks of a model, opened but not loaded: which files they are in and how large they will be. */
import fs from 'node:fs';
import path from 'node:path';
import { EngineError } from '../errors.ts';
import { type AutoencoderConfig, autoencoderConfig } from '../models/autoencoder-config.ts';
import { type AutoencoderTinyConfig, autoencoderTinyConfig } from '../models/autoencoder-tiny.ts';
import { type ClipConfig, clipConfig } from '../models/clip.ts';
import { type FluxConfig, fluxConfig } from '../models/flux-config.ts';
import { type InstructionHead, instructionHead } from '../models/instruction-head.ts';
import { type T5Config, t5Config } from '../models/t5.ts';
import { fluxShift, type ShiftConfig } from '../sigmas/index.ts';
import { loadTokenizer, type PromptTokenizer } from '../text/tokenizer.ts';
import { openCheckpoint } from '../weights/checkpoint.ts';
import { autoencoderDialects } from '../weights/dialects/autoencoder.ts';
import { autoencoderTinyDialects } from '../weights/dialects/autoencoder-tiny.ts';
import { clipDialects } from '../weights/dialects/clip.ts';
import { fluxDialects } from '../weights/dialects/flux.ts';
import type { Dialect } from '../weights/dialects/index.ts';
import { t5Dialects } from '../weights/dialects/t5.ts';
import { WeightSource } from '../weights/source.ts';
import { type ModelFiles, modelPaths } from './model-paths.ts';
import { readShift } from './scheduler-config.ts';

/** Paths of a model's files and settings for reading them; the model store creates it from a manifest. */
export type ModelSource = {
  /** The model's id, for messages: `retouch:mini@1`. */
  air: string;
  files: ModelFiles;
  /** A TAESD for this model's latents, folder or file; decodes previews, and images of plans with `tiny`. */
  tinyAutoencoder?: string;
  /** Folder of this model's cached quantised weights. */
  cacheFolder: string;
};

export type Component<Config> = { source: WeightSource; config: Config };

export type Components = {
  transformer: Component<FluxConfig>;
  autoencoder: Component<AutoencoderConfig>;
  tiny: Component<AutoencoderTinyConfig> | undefined;
  clip: Component<ClipConfig> & { tokenizer: PromptTokenizer; head: InstructionHead | undefined };
  t5: Component<T5Config> & { tokenizer: PromptTokenizer };
  shift: ShiftConfig;
};

/** Reads headers and configurations; a file that is missing, cut short or of another model is found here. */
export async function openComponents({ files, tinyAutoencoder }: ModelSource): Promise<Components> {
  const paths = modelPaths(files);
  const components: Components = {
    transformer: component(paths.transformer, fluxDialects, fluxConfig),
    autoencoder: component(paths.autoencoder, autoencoderDialects, autoencoderConfig),
    tiny:
      tinyAutoencoder === undefined
        ? undefined
        : component(tinyAutoencoder, autoencoderTinyDialects, autoencoderTinyConfig),
    clip: { ...clipComponent(paths.clip), tokenizer: await loadTokenizer(paths.tokenizer) },
    t5: { ...component(paths.t5, t5Dialects, t5Config), tokenizer: await loadTokenizer(paths.tokenizer2) },
    shift: files.layout === 'diffusers' ? shiftOf(files.folder) : fluxShift,
  };
  checkTogether(components);
  return components;
}

/** Checks that the files are of one model; each may be valid by itself. */
function checkTogether({ transformer, autoencoder, tiny, clip, t5 }: Components): void {
  const { inChannels, outChannels, contextIn, vecIn } = transformer.config;
  const token = 4 * autoencoder.config.latentChannels;
  const joints = [
    [inChannels, 'takes tokens', token, 'the image autoencoder makes them', autoencoder],
    [outChannels, 'gives tokens', token, 'the image autoencoder takes them', autoencoder],
    [contextIn, 'takes text', t5.config.hidden, 'T5 gives it', t5],
    [vecIn, 'takes a pooled text', clip.config.hidden, 'CLIP gives it', clip],
  ] as const;
  for (const [found, takes, expected, gives, { source }] of joints) {
    if (found === expected) continue;
    const { path } = transformer.source.checkpoint;
    throw new EngineError(
      'modelConfigInvalid',
      `the transformer of ${path} ${takes} of ${found} channels, but ${gives} with ${expected} (${source.checkpoint.path}): the files are not of one model`,
      { path, found, expected },
    );
  }
  if (tiny) checkTiny(tiny, autoencoder);
}

function checkTiny(tiny: Component<AutoencoderTinyConfig>, autoencoder: Component<AutoencoderConfig>): void {
  const latentOf = ({ latentChannels, stride }: { latentChannels: number; stride: number }) =>
    `${latentChannels} channels for ${stride}×${stride} pixels`;
  const [found, expected] = [latentOf(tiny.config), latentOf(autoencoder.config)];
  if (found === expected) return;
  const { path } = tiny.source.checkpoint;
  throw new EngineError(
    'modelConfigInvalid',
    `the tiny autoencoder ${path} has latents of ${found}, but the model's are of ${expected}`,
    { path, found, expected },
  );
}

function component<Config>(
  where: string,
  dialects: readonly Dialect[],
  configure: (source: WeightSource) => Config,
): Component<Config> {
  const source = new WeightSource(openCheckpoint(where), dialects);
  return { source, config: configure(source) };
}

function clipComponent(where: string): Omit<Components['clip'], 'tokenizer'> {
  const clip = component(where, clipDialects, clipConfig);
  return { ...clip, head: instructionHead(clip.source, clip.config.hidden) };
}

function shiftOf(folder: string): ShiftConfig {
  const file = path.join(folder, 'scheduler', 'scheduler_config.json');
  return fs.existsSync(file) ? readShift(file) : fluxShift;
}
