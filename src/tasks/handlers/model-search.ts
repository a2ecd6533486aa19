/** modelSearch: the installed models and adapters that match a search, the best match first. */

import type { FoundModel, Reply } from '../../api/results.ts';
import { listedSizes, nearestSize } from '../../api/sizes.ts';
import type { ModelSearchTask } from '../../api/tasks/model-search.ts';
import type { Adapter, Model, ModelStore } from '../../store/models.ts';
import type { Call } from './handler.ts';

export function* modelSearch(
  task: ModelSearchTask,
  { caller }: Call,
  { models }: { models: Pick<ModelStore, 'models' | 'adapters'> },
): Generator<Reply> {
  const { taskUUID, taskType } = task;
  yield { item: { taskType, taskUUID, ...searchModels(task, models, caller.publicUrl) } };
}

type Found = { totalResults: number; results: FoundModel[] };

/** `publicUrl`: start of the URLs that the client can reach. */
export function searchModels(
  task: ModelSearchTask,
  { models, adapters }: Pick<ModelStore, 'models' | 'adapters'>,
  publicUrl: string,
): Found {
  const all = [...models.map((model) => showModel(model, publicUrl)), ...adapters.map(showAdapter)];
  const text = task.search?.trim() ?? '';
  const scored = all
    .filter((model) => passes(model, task))
    .map((model) => ({ model, score: text === '' ? 1 : score(model, text) }))
    .filter(({ score }) => score > 0);
  const byName = (a: FoundModel, b: FoundModel) => compare(a.name, b.name) || compare(a.air, b.air);
  scored.sort((a, b) => {
    if (task.sort === 'relevance' && a.score !== b.score) return b.score - a.score;
    return task.sort === '-name' ? byName(b.model, a.model) : byName(a.model, b.model);
  });
  const page = scored.slice(task.offset, task.offset + task.limit);
  return { totalResults: scored.length, results: page.map(({ model }) => model) };
}

function passes(model: FoundModel, task: ModelSearchTask): boolean {
  const {
    category,
    type,
    architecture,
    conditioning,
    visibility,
    source,
    tags = [],
    capabilities = [],
  } = task;
  const own = new Set(model.tags.map((tag) => tag.toLowerCase()));
  return (
    (category === undefined || model.category === category) &&
    (type === undefined || model.type === type) &&
    (architecture === undefined ||
      model.architecture === (architectureAliases[architecture] ?? architecture)) &&
    // Only ControlNets have a conditioning, and this server has none.
    conditioning === undefined &&
    // Every client of the server may use every installed model.
    (visibility === 'all' || visibility === 'public') &&
    (source === undefined || model.air.split(':', 1)[0]!.toLowerCase() === source.toLowerCase()) &&
    tags.every((tag) => own.has(tag.toLowerCase())) &&
    // Every checkpoint here can do text-to-image and edits.
    (capabilities.length === 0 || model.category === 'checkpoint')
  );
}

/** Weights of the hosted service: the phrase in the name, parts of the AIR and of the name, words elsewhere. */
function score({ name, air, version, tags, comment }: FoundModel, search: string): number {
  const wanted = search.toLowerCase();
  const words = wordsOf(wanted);
  const phrase = ` ${wordsOf(name).join(' ')} `.includes(` ${words.join(' ')} `) && words.length > 0;
  const others = new Set([version, comment, ...tags].flatMap(wordsOf));
  return (
    (phrase ? 10 : 0) +
    (air.toLowerCase().includes(wanted) ? 5 : 0) +
    (name.toLowerCase().includes(wanted) ? 5 : 0) +
    words.filter((word) => others.has(word)).length
  );
}

function wordsOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];
}

/** Architecture in a manifest or a request → its name in answers. */
const architectureAliases: Readonly<Record<string, string>> = {
  'flux-kontext': 'fluxkontextdev',
  'flux-1-kontext-dev': 'fluxkontextdev',
};

function showModel(model: Model, publicUrl: string): FoundModel {
  const { name, air, category, architecture, defaults, sizes, about, license, photographs } = model;
  const [width, height] = nearestSize(sizes ?? listedSizes, 1, 1);
  return {
    name,
    air,
    version: about.version ?? versionOf(air),
    category,
    type: 'base',
    architecture: architectureAliases[architecture] ?? architecture,
    tags: about.tags,
    private: false,
    comment: about.comment,
    defaultWidth: width,
    defaultHeight: height,
    defaultSteps: defaults.steps,
    defaultCFG: defaults.guidance,
    defaultScheduler: 'Default',
    license,
    photographs,
    examples: model.examples.map(({ prompt, image }) => {
      // Examples with the same picture share its URL.
      const first = model.examples.findIndex((other) => other.image === image);
      return {
        prompt,
        ...(image === undefined ? {} : { imageURL: `${publicUrl}${examplePath(air, first)}` }),
      };
    }),
  };
}

/** Path of the URL of a model's example picture. */
function examplePath(air: string, index: number): string {
  return `/models/${encodeURIComponent(air)}/examples/${index}`;
}

function showAdapter({ name, air, category, architecture = '', about, license }: Adapter): FoundModel {
  return {
    name,
    air,
    version: about.version ?? versionOf(air),
    category,
    architecture: architectureAliases[architecture] ?? architecture,
    tags: about.tags,
    private: false,
    comment: about.comment,
    license,
  };
}

function versionOf(air: string): string {
  return air.slice(air.lastIndexOf('@') + 1);
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
