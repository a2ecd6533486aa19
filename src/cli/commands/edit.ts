/** `retouch edit`: one edit in the terminal, by the same Task, Plan and engine as the server's. */

import { join } from 'node:path';
import { type Config, engineLimits } from '../../config.ts';
import type { EngineEvent, FinishedImage, Plan } from '../../engine/plan.ts';
import { deviceEnvironment } from '../../engine/process/device-environment.ts';
import { engineMemory } from '../../engine/process/device-memory.ts';
import { EngineHost } from '../../engine/process/host.ts';
import { defaultThreads } from '../../engine/process/limits.ts';
import { RetouchError } from '../../error.ts';
import { ModelStore } from '../../store/models.ts';
import { Forecasts } from '../../tasks/forecast/forecasts.ts';
import { makePlans, type PlannedImage } from '../../tasks/plan/plan.ts';
import { eventText } from '../../tasks/run/event-text.ts';
import { makeImage } from '../../tasks/run/make-image.ts';
import type { Command } from '../command.ts';
import { type Arguments, cliError, parseArguments } from '../flags/arguments.ts';
import { readCache, readReferenceCache } from '../flags/cache-flag.ts';
import { formatOf, looksLikePicture } from '../flags/formats.ts';
import { checkOutput, defaultOutput, readPicture, writePicture } from '../flags/images.ts';
import { readGuides, readIpAdapter } from '../flags/ip-adapter-flag.ts';
import { configFrom, engineSettings, settingFlags } from '../flags/settings.ts';
import { listenForInterrupt } from '../terminal/interrupt.ts';
import { ProgressView } from '../terminal/progress-view.ts';
import { makeTask } from './edit-task.ts';

const flags = {
  output: {
    about: 'Output file; its extension is the format: jpg, png or webp.',
    value: 'FILE',
    short: 'o',
  },
  force: { about: 'Overwrite the default output when it exists.', short: 'f' },
  model: {
    about: 'AIR of the model; by default FLUX.1 Kontext if it is installed, else the embedded model.',
    value: 'AIR',
  },
  width: {
    about: 'Width of the result; by default the listed size nearest to the picture in shape.',
    value: 'PIXELS',
  },
  height: { about: 'Height of the result; only together with --width.', value: 'PIXELS' },
  steps: { about: 'Steps of the sampler, 1 to 50.', value: 'N' },
  seed: { about: 'The same seed gives the same picture; random by default.', value: 'N' },
  guidance: { about: 'Guidance of the instruction, 0 to 20.', value: 'NUMBER' },
  negative: { about: 'Negative prompt; has an effect with --true-cfg above 1.', value: 'TEXT' },
  'true-cfg': {
    about: 'Strength of the negative prompt; above 1 every step takes twice as long.',
    value: 'NUMBER',
  },
  scheduler: { about: 'Scheduler, by its name in the API.', value: 'NAME' },
  lora: {
    about:
      'A LoRA by its AIR, with a weight from -4 to 4 (1 by default) and the stage it acts in ' +
      '(high, low or both); may be given several times.',
    value: 'AIR[:WEIGHT[:STAGE]]',
    multiple: true,
  },
  'ip-adapter': {
    about:
      'An IP-Adapter by its AIR, with a weight from -4 to 4 (1 by default) and the pictures that guide it; may be ' +
      'given several times.',
    value: 'AIR[:WEIGHT]=FILE[,FILE…]',
    multiple: true,
  },
  faces: { about: 'Detect the faces in the result and paint them again in detail.' },
  face: {
    about:
      'A setting of --faces, which it enables: confidence, strength, steps, guidance, padding, blur, prompt or ' +
      'negative; may be given several times.',
    value: 'NAME=VALUE',
    multiple: true,
  },
  check: { about: 'Report whether a classifier finds the result unsafe for work.' },
  quality: { about: 'Quality of jpg and webp, 20 to 99.', value: 'N' },
  cache: {
    about: 'Step cache: tea, fb or db, with the distance or threshold of the API.',
    value: 'tea|fb|db[:VALUE]',
  },
  'reference-cache': {
    about: 'Keep keys and values of the references and compute them in every N-th step only.',
    value: 'N',
  },
  preview: { about: 'Write a preview beside the output after every N steps.', value: 'N' },
  verbose: { about: "Show the engine's own log." },
  quiet: { about: 'Show no progress.', short: 'q' },
} as const;

const allFlags = { ...flags, ...(settingFlags(engineSettings) as Record<string, never>) };

/** The default model, FLUX.1 Kontext [dev]. Its absence is not an error when the user named no model. */
const preferredModel = 'runware:106@1';

export const edit: Command = {
  summary: 'Edit a picture from a sentence.',
  usage: ['photo.jpg "make the sky pink"', 'edit IN… "instruction" -o OUT [flags]'],
  details: [
    'Without -o the result of photo.jpg is photo.retouch.jpg beside it. The picture itself is never overwritten. ' +
      'Several pictures before the instruction are references together.',
  ],
  flags: allFlags,
  async run(words) {
    const { values, positionals }: Arguments<typeof flags> = parseArguments(words, allFlags);
    const { inputs, instruction } = readPositionals(positionals);
    const output = values.output ?? defaultOutput(inputs[0]!);
    const ipAdapters = values['ip-adapter']?.map(readIpAdapter);
    const kept = values['reference-cache'];
    const caching = {
      ...(values.cache === undefined ? {} : readCache(values.cache)),
      ...(kept === undefined ? {} : readReferenceCache(kept)),
    };
    const guided = ipAdapters?.flatMap(({ files }) => files) ?? [];
    await checkOutput(output, [...inputs, ...guided], values.output !== undefined || values.force === true);
    const previewEvery = readPreview(values.preview);
    const pictures = await Promise.all(inputs.map(readPicture));

    const config = configFrom(values);
    const models = await findModels(config);
    const air = values.model ?? (models.find(preferredModel) ?? models.models[0])?.air ?? preferredModel;
    const task = makeTask(
      { instruction, format: formatOf(output) },
      { ...values, ipAdapters, caching, model: air },
      models,
    );
    const { device, precision, referenceIds } = config;
    const planned = makePlans(
      task,
      { references: pictures, guides: await readGuides(ipAdapters) },
      { models, arithmetic: { device, precision, referenceIds } },
    )[0]!;
    return compute({ ...planned, plan: { ...planned.plan, previewEvery } }, output, config, {
      quiet: values.quiet === true,
      verbose: values.verbose === true,
    });
  },
};

async function compute(
  { plan, seed, warnings }: PlannedImage,
  output: string,
  config: Config,
  { quiet, verbose }: { quiet: boolean; verbose: boolean },
): Promise<number> {
  const started = performance.now();
  const view = quiet ? undefined : new ProgressView(process.stderr);
  const interrupt = listenForInterrupt();
  const note = (line: string) => (view ? view.note(line) : console.error(line));
  const env = deviceEnvironment(config.device, config.deviceIndex, process.env);
  const memoryLimit = engineMemory({ device: config.device, index: config.deviceIndex }, 1);
  const log = (line: string) => verbose && note(line);
  const host = new EngineHost({ memoryLimit, ...engineLimits(config), env, log });
  if (!quiet) for (const { message } of warnings) note(message);
  const forecasts = new Forecasts({ threads: config.threads || defaultThreads() });
  void forecasts.of(plan).then((forecast) => view?.expect(forecast));
  const previews: Promise<void>[] = [];
  const onEvent = (event: EngineEvent) => {
    view?.follow(event);
    const text = verbose || event.type === 'warning' ? eventText(event) : undefined;
    if (text && (verbose || !quiet)) note(text);
    if (event.type === 'preview')
      previews.push(writePicture(previewName(output, event.image), event.image.bytes));
  };
  try {
    const image = await makeImage(plan, { engines: host, signal: interrupt.signal, onEvent });
    await Promise.all(previews);
    await writePicture(output, image.bytes);
    view?.end();
    console.log(describeResult(output, image, { plan, seed, milliseconds: performance.now() - started }));
    return 0;
  } catch (error) {
    view?.end();
    if (!interrupt.signal.aborted || !(error instanceof RetouchError)) throw error;
    console.error('Stopped; nothing was written.');
    return interrupt.exitCode;
  } finally {
    interrupt.end();
    await host.close();
  }
}

export function describeResult(
  output: string,
  { width, height, nsfw }: FinishedImage,
  { plan: { model }, seed, milliseconds }: { plan: Plan; seed: bigint; milliseconds: number },
): string {
  const content = nsfw === undefined ? '' : ` · ${nsfw ? 'unsafe content' : 'no unsafe content found'}`;
  return `${output} · ${width}×${height} · ${model.air} · seed ${seed} · ${(milliseconds / 1000).toFixed(1)} s${content}`;
}

/** The last argument is the instruction; every argument before it is an image file. */
export function readPositionals(words: readonly string[]): { inputs: string[]; instruction: string } {
  const example = 'for example: retouch edit photo.jpg "make the sky pink" -o pink.jpg';
  const last = words.at(-1);
  if (last === undefined)
    throw cliError('argumentMissing', `edit needs a picture and an instruction; ${example}.`);
  if (words.length === 1) {
    const [found, missing] = looksLikePicture(last)
      ? ['the picture', 'an instruction']
      : ['the instruction', 'a picture'];
    throw cliError(
      'argumentMissing',
      `edit found ${found} '${last}' and no other; expected ${missing} as well, ${example}.`,
    );
  }
  const inputs = words.slice(0, -1);
  if (inputs.length <= 4) return { inputs, instruction: last };
  throw cliError(
    'argumentUnexpected',
    `edit found ${inputs.length} pictures; expected at most 4. Quote the instruction, ${example}.`,
  );
}

function readPreview(text: string | undefined): number {
  if (text === undefined) return 0;
  if (/^[1-9]\d{0,2}$/.test(text)) return Number(text);
  throw cliError('flagInvalid', `--preview is '${text}'; expected a number of steps, at least 1.`);
}

function previewName(output: string, { format }: FinishedImage): string {
  return output.replace(/\.[^.]+$/, `.preview.${format}`);
}

async function findModels(config: Config): Promise<ModelStore> {
  const cache = join(config.dataDir, 'cache');
  return ModelStore.scan({ models: config.modelsDir, cache, aliases: config.alias });
}
