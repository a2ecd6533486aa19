/** `retouch pull`: downloads a model from a hub into the models directory, after showing its licence. */

import { rm } from 'node:fs/promises';
import { basename, isAbsolute, join, relative, sep } from 'node:path';
import { formatBytes } from '../../bytes.ts';
import { RetouchError } from '../../error.ts';
import { defaultEndpoint, Hub, type HubFile, type HubRepository } from '../../store/hub.ts';
import { knownModels } from '../../store/known-models.ts';
import { pull } from '../../store/pull.ts';
import type { Command } from '../command.ts';
import { cliError, parseArguments, type Values } from '../flags/arguments.ts';
import { configFrom, settingFlags } from '../flags/settings.ts';
import { folderName, install, makeManifest, needLicense } from '../models/install.ts';
import { readLicense } from '../models/license.ts';
import { findFiles } from '../models/model-files.ts';
import { checkHeaders } from '../models/remote-header.ts';
import { selectFiles } from '../models/repository-files.ts';
import { ask, canAsk } from '../terminal/ask.ts';
import { BytesProgress } from '../terminal/bytes-progress.ts';
import { listenForInterrupt } from '../terminal/interrupt.ts';
import { modelFlags, scan } from './models.ts';
import { baseOf, checkFree, checkOpens } from './models-add.ts';

const flags = {
  file: {
    about: 'File to download, for repositories with several; may be repeated.',
    value: 'PATH',
    multiple: true,
  },
  ...modelFlags,
  'accept-license': { about: 'Accept the licence without a question; it is still shown.' },
  token: { about: 'Token for repositories that require one; HF_TOKEN is read too.', value: 'TOKEN' },
  endpoint: { about: 'Hub to download from; HF_ENDPOINT is read too.', value: 'URL' },
  quiet: { about: 'Show no progress.', short: 'q' },
} as const;

const allFlags = { ...flags, ...(settingFlags(['data-dir', 'models-dir']) as Record<string, never>) };
type PullValues = Values<typeof flags>;

const defaultModel = 'runware:106@1';

export const pullCommand: Command = {
  summary: 'Download a model: FLUX.1 Kontext [dev] unless another is named.',
  usage: ['pull [AIR | OWNER/NAME[@REVISION]] [flags]'],
  details: [
    "Shows the model's licence and asks whether it is accepted. A download that stops, for whatever reason, goes on " +
      'where it was when the command is given again. Every file is checked against the hash that the hub announces.',
  ],
  flags: allFlags,
  async run(words) {
    const { values, positionals } = parseArguments(words, allFlags);
    if (positionals.length > 1)
      throw cliError('argumentUnexpected', `pull takes one model; found ${positionals.length}.`);
    const interrupt = listenForInterrupt();
    try {
      await run(readTarget(positionals[0] ?? defaultModel), values, interrupt.signal);
      return 0;
    } catch (error) {
      if (!interrupt.signal.aborted) throw error;
      console.error('Stopped. What is downloaded stays: the same command goes on from there.');
      return interrupt.exitCode;
    } finally {
      interrupt.end();
    }
  },
};

type Target = {
  repository: string;
  revision: string;
  air: string;
  known: (typeof knownModels)[string] | undefined;
};

/** An AIR of a known model, or `owner/name@revision`. */
export function readTarget(text: string): Target {
  const known = knownModels[text];
  if (known) return { repository: known.repository, revision: 'main', air: text, known };
  const match = /^([\w.-]+\/[\w.-]+)(?:@(.+))?$/.exec(text);
  if (!match) {
    const airs = Object.keys(knownModels).join(', ');
    throw cliError('argumentUnexpected', `'${text}' is neither ${airs} nor a repository such as owner/name.`);
  }
  const [, repository, revision = 'main'] = match as unknown as [string, string, string?];
  const same = Object.entries(knownModels).find(([, model]) => model.repository === repository);
  return {
    repository,
    revision,
    air: same?.[0] ?? `hf:${repository.replace('/', ':')}@${revision}`,
    known: same?.[1],
  };
}

async function run(target: Target, values: PullValues, signal: AbortSignal): Promise<void> {
  const config = configFrom(values);
  const { modelsDir } = config;
  const store = await scan(config);
  const air = values.air ?? airOf(target, values.file);
  checkFree(store, air);
  const base = values.base === undefined ? undefined : baseOf(store, values.base);
  const named = values.endpoint ?? process.env.HF_ENDPOINT;
  const hub = new Hub({
    endpoint: checkEndpoint(named ?? defaultEndpoint),
    token: values.token ?? process.env.HF_TOKEN,
    // The user names the host on the command line, so private addresses are allowed.
    allowPrivate: named !== undefined,
  });
  const repository = await hub.describe(target.repository, target.revision, signal);
  const files = selectFiles(repository, values.file ?? []);
  // Hidden from the store until complete. Named after the commit, so that a download of another commit starts afresh.
  const stage = join(modelsDir, `.pulling-${folderName(air)}-${repository.commit.slice(0, 12)}`);
  const license = await agree(hub, repository, files, stage, target, values, signal);
  try {
    await checkHeaders({ hub, repository }, { files, folder: stage }, signal);
  } catch (error) {
    // A refused download leaves no files.
    if (error instanceof RetouchError && error.code === 'dtypeUnsupported')
      await rm(stage, { recursive: true, force: true });
    throw error;
  }
  await fetchFiles(hub, repository, files, stage, values.quiet === true, signal);

  const wanted = values.file?.map((path) => join(stage, path)) ?? [];
  const single = wanted.length > 0 ? wanted : weightsOf(files).map((path) => join(stage, path));
  const isPipeline = wanted.length === 0 && files.some(({ path }) => path === 'model_index.json');
  const found = await findFiles(isPipeline ? [stage] : single, {
    ...(values.category === undefined ? {} : { category: values.category }),
    ...(base === undefined ? {} : { base }),
  });
  await checkOpens(found, air);
  const own = target.known && values.file === undefined ? target.known : undefined;
  const name = values.name ?? own?.name ?? basename(values.file?.[0] ?? target.repository);
  const manifest = makeManifest(
    found,
    { air, name, license },
    {
      ...(own ? { architecture: own.architecture, defaults: own.defaults } : {}),
      ...(values.architecture === undefined ? {} : { architecture: values.architecture }),
      source: { endpoint: hub.endpoint, repository: repository.name, commit: repository.commit },
    },
  );
  const { folder } = await install(modelsDir, relativeTo(stage, manifest), stage);
  console.log(`${air} (${name}) is installed in ${folder}.`);
}

/** A single file of a repository is a different model from the repository's pipeline. */
function airOf({ air, repository, revision }: Target, files: readonly string[] | undefined): string {
  if (files === undefined) return air;
  const stem = basename(files[0]!).replace(/\.(safetensors|gguf)$/, '');
  return `hf:${repository.split('/')[0]}:${stem}@${revision}`;
}

function weightsOf(files: readonly HubFile[]): string[] {
  return files.map(({ path }) => path).filter((path) => /\.(safetensors|gguf)$/.test(path));
}

/** The folder is moved when complete, so paths in it are relative to it. */
function relativeTo(stage: string, manifest: Record<string, unknown>): Record<string, unknown> {
  const { files } = manifest;
  const shorten = (path: string) => {
    const way = relative(stage, path);
    if (way === '') return '.';
    return way.startsWith('..') || isAbsolute(way) ? path : way.split(sep).join('/');
  };
  const short =
    typeof files === 'string'
      ? shorten(files)
      : Object.fromEntries(
          Object.entries(files as Record<string, string>).map(([role, path]) => [role, shorten(path)]),
        );
  return { ...manifest, files: short };
}

function checkEndpoint(text: string): string {
  const url = URL.parse(text);
  if (url?.protocol === 'http:' || url?.protocol === 'https:') return text;
  throw cliError('flagInvalid', `The endpoint is '${text}'; expected an http or https URL.`);
}

/** Shows the licence and asks for consent. Returns the licence's name. */
async function agree(
  hub: Hub,
  repository: HubRepository,
  files: readonly HubFile[],
  stage: string,
  { known }: Target,
  values: PullValues,
  signal: AbortSignal,
): Promise<string> {
  const text = await readLicense({ hub, repository }, { files, folder: stage }, signal);
  const name = values.license ?? known?.license ?? repository.license?.name;
  if (name === undefined) throw needLicense();
  const bytes = files.reduce((sum, { size }) => sum + size, 0);
  console.error(
    `${repository.name} at ${repository.commit.slice(0, 12)}: ${files.length} files, ${formatBytes(bytes)}`,
  );
  console.error(`License: ${name}${linkOf(hub, repository)}\n`);
  if (text !== undefined) console.error(`${text.trim()}\n`);
  if (values['accept-license']) return name;
  const refuse = (why: string) => new RetouchError('licenseNotAccepted', why);
  if (!canAsk())
    throw refuse(`The licence of ${repository.name} (${name}) must be accepted: --accept-license does.`);
  if (!(await ask('Do you accept this licence?', signal)))
    throw refuse(`The licence of ${repository.name} was not accepted; nothing was installed.`);
  return name;
}

/** A model card's licence link is a web page or a file of the repository. */
function linkOf({ endpoint }: Hub, { name, commit, license }: HubRepository): string {
  const { link } = license ?? {};
  if (link === undefined) return '';
  return ` (${URL.canParse(link) ? link : `${endpoint}/${name}/blob/${commit}/${link}`})`;
}

async function fetchFiles(
  hub: Hub,
  repository: HubRepository,
  files: readonly HubFile[],
  stage: string,
  quiet: boolean,
  signal: AbortSignal,
): Promise<void> {
  const total = files.reduce((sum, { size }) => sum + size, 0);
  const progress = quiet ? undefined : new BytesProgress(process.stderr, { label: 'Downloading', total });
  try {
    await pull(
      { hub, repository },
      { files, folder: stage },
      {
        signal,
        onSize: ({ path }, bytes) => progress?.report(path, bytes),
      },
    );
  } catch (error) {
    if (error instanceof RetouchError && error.code === 'hubNotFound')
      await rm(stage, { recursive: true, force: true });
    throw error;
  } finally {
    progress?.end();
  }
}
