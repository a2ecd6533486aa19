/** The pictures and edits of this browser, and the selected one. */

import { computed, signal } from '@preact/signals';
import type { Picture } from '../pictures/picture.ts';
import type { Values } from '../request/request.ts';
import type { WireError } from '../server/wire.ts';
import { get, getAll, onChange, put, remove, type StoreName } from './database.ts';

export type Result = {
  picture: string;
  imageUUID: string;
  seed: string;
  nsfw?: boolean;
  cost?: number;
};

export type Edit = {
  /** The taskUUID. */
  id: string;
  model: string;
  prompt: string;
  /** Pictures by their ids. */
  references: string[];
  values: Values;
  count: number;
  created: number;
  state: 'running' | 'done' | 'failed' | 'cancelled';
  /** The server has acknowledged the task, so that another tab can watch it. */
  isAccepted?: boolean;
  results: Result[];
  errors: WireError[];
  /** From the sending to the last image. */
  milliseconds?: number;
  cache?: { evaluations: number; reused: number; savedMilliseconds: number };
  faces?: number;
  /** The requested or expected size, for the frame while the image is made. */
  width: number;
  height: number;
};

export type Selection = { kind: 'picture'; id: string } | { kind: 'edit'; id: string; result?: number };

export const pictures = signal<ReadonlyMap<string, Picture>>(new Map());
export const edits = signal<ReadonlyMap<string, Edit>>(new Map());
const sources = signal<ReadonlySet<string>>(new Set());
export const selection = signal<Selection | undefined>(undefined);
/** False where the browser keeps nothing. */
export const isKept = signal(true);

const longestHistory = 200;

type SourcePicture = Picture & { isSource?: boolean };

let hearEdit: (edit: Edit) => void = () => undefined;

/** `listen` is given the edits that another tab changes. */
export function onEditElsewhere(listen: (edit: Edit) => void): void {
  hearEdit = listen;
}

export async function openHistory(): Promise<void> {
  const [kept, keptEdits] = await Promise.all([getAll<SourcePicture>('pictures'), getAll<Edit>('edits')]);
  pictures.value = new Map(kept.map((picture) => [picture.id, picture]));
  sources.value = new Set(kept.filter(({ isSource }) => isSource).map(({ id }) => id));
  edits.value = new Map(keptEdits.map((edit) => [edit.id, edit]));
  onChange((store, id) => void refresh(store, id));
  prune();
}

/** Another tab changed it. */
async function refresh(store: StoreName, id: string): Promise<void> {
  if (store === 'edits') {
    const edit = await get<Edit>('edits', id);
    const next = new Map(edits.value);
    if (edit) next.set(id, edit);
    else next.delete(id);
    edits.value = next;
    if (edit) hearEdit(edit);
  } else {
    const picture = await get<SourcePicture>('pictures', id);
    const next = new Map(pictures.value);
    if (picture) next.set(id, picture);
    else next.delete(id);
    pictures.value = next;
    if (picture?.isSource) sources.value = new Set(sources.value).add(id);
  }
}

export function keepPicture(picture: Picture, isSource = false): Picture {
  // The picture is known already, with its metadata.
  const known = pictures.value.get(picture.id);
  const merged: SourcePicture = {
    ...picture,
    ...known,
    ...(picture.uuid ? { uuid: picture.uuid } : {}),
    isSource: isSource || sources.value.has(picture.id),
  };
  pictures.value = new Map(pictures.value).set(picture.id, merged);
  if (merged.isSource) sources.value = new Set(sources.value).add(picture.id);
  void put('pictures', merged).then((kept) => (isKept.value = kept));
  return merged;
}

export function changePicture(id: string, change: Partial<Picture>): void {
  const picture = pictures.value.get(id);
  if (!picture) return;
  const next = { ...picture, ...change };
  // An absent field is one that is not known any more.
  for (const [name, value] of Object.entries(change)) if (value === undefined) delete next[name as 'uuid'];
  pictures.value = new Map(pictures.value).set(id, next);
  void put('pictures', { ...next, isSource: sources.value.has(id) } as SourcePicture);
}

export function keepEdit(edit: Edit): void {
  edits.value = new Map(edits.value).set(edit.id, edit);
  void put('edits', edit);
}

export function changeEdit(id: string, change: Partial<Edit>): void {
  const edit = edits.value.get(id);
  if (edit) keepEdit({ ...edit, ...change });
}

export type Entry =
  | { kind: 'picture'; id: string; created: number }
  | { kind: 'edit'; id: string; created: number; edit: Edit };

/** The strip, oldest first. */
export const entries = computed<Entry[]>(() => {
  const pictured = [...sources.value].map((id): Entry => {
    return { kind: 'picture', id, created: pictures.value.get(id)?.created ?? 0 };
  });
  const edited = [...edits.value.values()].map((edit): Entry => {
    return { kind: 'edit', id: edit.id, created: edit.created, edit };
  });
  return [...pictured, ...edited].sort((a, b) => a.created - b.created);
});

/** The input of an edit: a result of another edit, a dropped picture, or nothing. */
export function parentOf({ references }: Edit): Selection | undefined {
  const [first] = references;
  if (first === undefined) return undefined;
  return originOf(first);
}

function originOf(picture: string): Selection {
  for (const edit of edits.value.values()) {
    const result = edit.results.findIndex((each) => each.picture === picture);
    if (result >= 0) return { kind: 'edit', id: edit.id, result };
  }
  return { kind: 'picture', id: picture };
}

/** The selected entry and every entry that it was made from. */
export const lineage = computed<ReadonlySet<string>>(() => {
  const ids = new Set<string>();
  for (let at = selection.value; at && !ids.has(at.id); ) {
    ids.add(at.id);
    const edit = at.kind === 'edit' ? edits.value.get(at.id) : undefined;
    at = edit && parentOf(edit);
  }
  return ids;
});

export const selectedEdit = computed<Edit | undefined>(() =>
  selection.value?.kind === 'edit' ? edits.value.get(selection.value.id) : undefined,
);

export async function forget(entry: Entry): Promise<void> {
  if (entry.kind === 'edit') {
    const next = new Map(edits.value);
    next.delete(entry.id);
    edits.value = next;
    await remove('edits', entry.id);
  } else {
    const next = new Set(sources.value);
    next.delete(entry.id);
    sources.value = next;
  }
  if (selection.value?.id === entry.id) selection.value = undefined;
  await removeUnused();
}

/** The newest edits are kept, with their pictures. */
function prune(): void {
  const old = entries.value.slice(0, -longestHistory);
  for (const entry of old) void forget(entry);
}

async function removeUnused(): Promise<void> {
  const used = new Set<string>(sources.value);
  for (const edit of edits.value.values()) {
    for (const id of edit.references) used.add(id);
    for (const { picture } of edit.results) used.add(picture);
    for (const id of guidesOf(edit.values)) used.add(id);
  }
  const next = new Map(pictures.value);
  for (const id of pictures.value.keys()) {
    if (used.has(id)) continue;
    next.delete(id);
    await remove('pictures', id);
  }
  pictures.value = next;
}

/** Guide pictures and a mask in the values of a form, which holds them by their ids. */
export function guidesOf(values: Values): string[] {
  const adapters = (values.ipAdapters ?? []) as { guideImages?: string[] }[];
  const mask = values['inputs.maskImage'];
  return [
    ...adapters.flatMap(({ guideImages = [] }) => guideImages),
    ...(typeof mask === 'string' ? [mask] : []),
  ];
}
