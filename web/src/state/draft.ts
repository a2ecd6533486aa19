/** The next edit: its sentence, its pictures and its parameters. It survives a reload of this tab. */

import { effect, signal } from '@preact/signals';
import { readPlanRecord } from '../pictures/metadata.ts';
import { NoPicture, type Picture, readPicture } from '../pictures/picture.ts';
import { restore } from '../pictures/restore.ts';
import { type FieldErrors, noErrors } from '../request/field-errors.ts';
import type { Values } from '../request/request.ts';
import { type Edit, edits, keepPicture, parentOf, pictures, type Selection, selection } from './history.ts';
import { say } from './notices.ts';
import { chooseModel, models } from './server.ts';

export const prompt = signal('');
/** Pictures by their ids. */
export const references = signal<readonly string[]>([]);
export const values = signal<Values>({});
/** Validation errors of the last request. */
export const fieldErrors = signal<FieldErrors>(noErrors);
/** Selections that undo left, the latest last. */
export const undone = signal<readonly Selection[]>([]);

/** The field of the first picture's mask; its value is the id of a picture. */
export const maskPath = 'inputs.maskImage';

/** The schema's; a fifth is refused by the server. */
export const maxReferences = 4;

const draftName = 'retouch-draft';

type Draft = {
  prompt: string;
  references: string[];
  values: Values;
  selection: Selection | undefined;
};

export function openDraft(): void {
  try {
    const kept = JSON.parse(sessionStorage.getItem(draftName) ?? 'null') as Draft | null;
    if (kept) {
      prompt.value = kept.prompt;
      references.value = kept.references.filter((id) => pictures.value.has(id));
      values.value = kept.values;
      selection.value = kept.selection;
    }
  } catch {
    // Stored by an older version: the draft starts empty.
  }
  // A mask belongs to the picture that it was painted on.
  let first = references.value[0];
  effect(() => {
    const [now] = references.value;
    if (now !== first && values.peek()[maskPath] !== undefined) setValue(maskPath, undefined);
    first = now;
  });
  effect(() => {
    const draft: Draft = {
      prompt: prompt.value,
      references: [...references.value],
      values: values.value,
      selection: selection.value,
    };
    sessionStorage.setItem(draftName, JSON.stringify(draft));
  });
}

export function setValue(path: string, value: unknown): void {
  const { [path]: _, ...rest } = values.value;
  values.value = value === undefined ? rest : { ...rest, [path]: value };
  clearError(path);
}

function clearError(path: string): void {
  const { fields, others } = fieldErrors.value;
  if (![...fields.keys()].some((key) => key === path || key.startsWith(`${path}[`))) return;
  const left = [...fields].filter(([key]) => key !== path && !key.startsWith(`${path}[`));
  fieldErrors.value = { fields: new Map(left), others };
}

function addReference(picture: Picture): void {
  if (references.value.includes(picture.id)) return;
  if (references.value.length >= maxReferences) {
    say(`An edit takes at most ${maxReferences} pictures; remove one first.`);
    return;
  }
  references.value = [...references.value, picture.id];
  clearError('inputs.referenceImages');
}

export function removeReference(id: string): void {
  references.value = references.value.filter((each) => each !== id);
}

export function moveReference(id: string, by: number): void {
  const list = [...references.value];
  const from = list.indexOf(id);
  const to = Math.max(0, Math.min(list.length - 1, from + by));
  list.splice(to, 0, ...list.splice(from, 1));
  references.value = list;
}

/** Files that were dropped, pasted or chosen. A picture made by Retouch restores its parameters. */
export function takeFiles(files: readonly File[]): Promise<void> {
  // One drop after the other: the references keep the order in which they came, however long each takes to decode.
  taking = taking.then(() => readFiles(files));
  return taking;
}

let taking = Promise.resolve();

async function readFiles(files: readonly File[]): Promise<void> {
  for (const file of files) {
    try {
      const record = readPlanRecord(new Uint8Array(await file.arrayBuffer()));
      const picture = keepPicture(await readPicture(file, file.name || 'pasted picture'), true);
      if (record) restoreFrom(restore(record), picture);
      else {
        addReference(picture);
        selection.value = { kind: 'picture', id: picture.id };
      }
    } catch (error) {
      say(error instanceof NoPicture ? error.message : `“${file.name}” could not be read.`);
    }
  }
}

function restoreFrom(restored: ReturnType<typeof restore>, picture: Picture): void {
  const known = (hash: string) =>
    pictures.value.get(hash)?.id ??
    [...pictures.value.values()].find(({ storedHash }) => storedHash === hash)?.id;
  const found = restored.references.map(known);
  const guides = (restored.values.ipAdapters ?? []) as { guideImages: string[] }[];
  prompt.value = restored.prompt;
  values.value = {
    ...restored.values,
    ...(guides.length === 0
      ? {}
      : {
          ipAdapters: guides.map((adapter) => ({
            ...adapter,
            guideImages: adapter.guideImages.map(known).filter((id) => id !== undefined),
          })),
        }),
  };
  references.value = found.filter((id) => id !== undefined);
  selection.value = { kind: 'picture', id: picture.id };
  const hasModel = models.value.some(({ air }) => air === restored.model);
  if (hasModel) chooseModel(restored.model);
  const missing = found.filter((id) => id === undefined).length;
  const left = [
    ...(hasModel ? [] : [`It was made by ${restored.model}, which this server does not have.`]),
    ...(missing === 0 ? [] : [missingText(missing)]),
    ...(restored.isMasked ? ['Its mask is not in it: paint it again.'] : []),
  ];
  const all = 'Every parameter of this picture is restored; run it to make it again.';
  say(left.length === 0 ? all : ['The parameters of this picture are restored.', ...left].join(' '));
}

function missingText(count: number): string {
  return count === 1
    ? 'A picture that it was made from is not in this browser: drop it here as well.'
    : `${count} pictures that it was made from are not in this browser: drop them here as well.`;
}

/** Makes a result the first reference of the next edit. */
export function continueFrom(picture: string): void {
  references.value = [picture];
  prompt.value = '';
  const { seed: _, ...rest } = values.value;
  values.value = rest;
}

/** Sets the draft to that of an earlier edit. */
export function takeUp(edit: Edit): void {
  prompt.value = edit.prompt;
  references.value = edit.references.filter((id) => pictures.value.has(id));
  values.value = edit.values;
}

/** Selects the input of the selected edit, with its prompt and parameters in the draft. */
export function undo(): void {
  const at = selection.value;
  const edit = at?.kind === 'edit' ? edits.value.get(at.id) : undefined;
  if (!at || !edit) return;
  undone.value = [...undone.value, at];
  takeUp(edit);
  selection.value = parentOf(edit);
}

export function redo(): void {
  const at = undone.value.at(-1);
  if (!at) return;
  undone.value = undone.value.slice(0, -1);
  selection.value = at;
}
