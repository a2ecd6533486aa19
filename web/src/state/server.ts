/** The server's models, parameters and health. */

import { computed, signal } from '@preact/signals';
import { type Field, fieldsOf, type JsonSchema } from '../request/fields.ts';
import { type Size, sizesOf } from '../request/sizes.ts';
import { ask, get, Refused } from '../server/client.ts';
import type { ConnectionState } from '../server/connection.ts';

export type Example = { prompt: string; imageURL?: string };

export type Model = {
  name: string;
  air: string;
  category: string;
  architecture: string;
  comment: string;
  license: string;
  defaultSteps?: number;
  defaultCFG?: number;
  photographs?: boolean;
  examples?: Example[];
};

export type Health = {
  uptime: number;
  engine: { state: string; restarts: number; device: string; precision: string };
  queue: { depth: number; limit: number };
  memory?: { limit: number; total: number; free: number };
  models: string[];
  adapters: string[];
};

export const connectionState = signal<ConnectionState>('connecting');
export const found = signal<readonly Model[] | undefined>(undefined);
export const fields = signal<readonly Field[]>([]);
export const health = signal<Health | undefined>(undefined);
/** By AIR. */
const sizes = signal<ReadonlyMap<string, readonly Size[]>>(new Map());

const chosenAir = signal<string | undefined>(localStorage.getItem('retouch-model') ?? undefined);

export const models = computed(() => (found.value ?? []).filter(({ category }) => category === 'checkpoint'));

/** The one that was chosen before, or FLUX.1 Kontext where it is installed, or the first. */
export const model = computed<Model | undefined>(() => {
  const of = (air: string | undefined) => models.value.find((each) => each.air === air);
  return of(chosenAir.value) ?? of('runware:106@1') ?? models.value[0];
});

export const modelSizes = computed(() => sizes.value.get(model.value?.air ?? '') ?? []);

/** Adapters of a category that fit the architecture of the chosen model. */
export function adaptersOf(category: string): Model[] {
  const architecture = model.value?.architecture;
  return (found.value ?? []).filter(
    (each) => each.category === category && (!each.architecture || each.architecture === architecture),
  );
}

export function chooseModel(air: string): void {
  chosenAir.value = air;
  localStorage.setItem('retouch-model', air);
  void loadSizes(air);
}

/** Loads everything but the health. A failure is retried when the connection opens. */
export async function loadServer(): Promise<void> {
  try {
    const [document, search] = await Promise.all([
      get<{ components: { schemas: Record<string, JsonSchema> } }>('/openapi.json'),
      ask({ taskType: 'modelSearch', limit: 100 }),
    ]);
    fields.value = fieldsOf(document.components.schemas.ImageInferenceTask!);
    found.value = search.results as Model[];
    if (model.value) await loadSizes(model.value.air);
  } catch (error) {
    if (error instanceof Refused && error.errors.some(({ code }) => /ApiKey$/.test(code)))
      connectionState.value = 'keyless';
  }
}

async function loadSizes(air: string): Promise<void> {
  const { requestSchema } = await get<{ requestSchema: JsonSchema }>(`/resolve/${encodeURIComponent(air)}`);
  sizes.value = new Map(sizes.value).set(air, sizesOf(requestSchema));
}

export async function loadHealth(): Promise<void> {
  health.value = await get<Health>('/health').catch(() => undefined);
}
