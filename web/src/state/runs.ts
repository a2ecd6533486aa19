/**
 * Sending edits and fetching their results. An edit is stored with its taskUUID before it is sent. After a reload or a
 * restart of the server, and in another tab, a stored edit that is still running is watched again by its taskUUID.
 */

import { readPlanRecord } from '../pictures/metadata.ts';
import { fromBase64, type Picture, readPicture, toDataUri } from '../pictures/picture.ts';
import { placeErrors } from '../request/field-errors.ts';
import { buildRequest, type Values } from '../request/request.ts';
import { nearestSize } from '../request/sizes.ts';
import { ask, getImage, newUuid, post, Refused, Unreachable } from '../server/client.ts';
import { Connection } from '../server/connection.ts';
import type { Envelope, Item, Task, WireError } from '../server/wire.ts';
import { fieldErrors, maskPath, prompt, references, undone, values } from './draft.ts';
import {
  changeEdit,
  changePicture,
  type Edit,
  edits,
  guidesOf,
  keepEdit,
  keepPicture,
  onEditElsewhere,
  pictures,
  type Result,
  selection,
} from './history.ts';
import { forgetLive, hearImage, live } from './live.ts';
import { announcement, say } from './notices.ts';
import { connectionState, fields, loadHealth, loadServer, model, modelSizes } from './server.ts';

/** Milliseconds between two previews of a picture; each takes the time of decoding one. */
const previewPause = 1_500;
const mostPreviews = 10;

/** Tasks that the server has not acknowledged. */
const unsent = new Map<string, Task>();
/** Edits whose pictures were uploaded a second time, and those that were sent a second time. */
const renewed = new Set<string>();
const resent = new Set<string>();
/** Edits whose pictures are being uploaded, before the task is sent. */
const preparing = new Set<string>();
let connection: Connection;

export function openConnection(): void {
  connection = new Connection({
    onState: (state) => (connectionState.value = state),
    onOpen: () => {
      void loadServer();
      goOn();
    },
    onFrame: hear,
  });
  // Another tab may have sent an edit and been closed since.
  document.addEventListener('visibilitychange', () => document.hidden || goOn());
  onEditElsewhere(watchAlong);
  connection.reopen();
}

function goOn(): void {
  for (const edit of edits.value.values())
    if (edit.state === 'running' && !preparing.has(edit.id)) send(edit.id);
}

/** Watches an edit that another tab has sent. */
function watchAlong(edit: Edit): void {
  if (edit.state === 'running' && edit.isAccepted && !live.value.has(edit.id)) send(edit.id);
}

export function reconnect(): void {
  connection.reopen();
}

function send(id: string): void {
  const task = unsent.get(id);
  const watch = { taskType: 'watchTask', taskUUID: id, previews: previewsOf(edits.value.get(id)) };
  // In one frame with the task, so that the watch begins before the first image does.
  if (task) connection.send(task, watch);
  else connection.send(watch);
}

/** More previews for slower models, by the time of the model's last image. */
function previewsOf(edit: Edit | undefined): number {
  const last = edit && imageTimes.get(edit.model);
  if (last === undefined) return 3;
  return Math.max(1, Math.min(mostPreviews, Math.round(last / previewPause)));
}

/** Milliseconds of the steps of an image, by model. */
const imageTimes = new Map<string, number>();

function noteTime(edit: Edit): void {
  const { stepTimes = [], images } = live.value.get(edit.id) ?? {};
  const steps = [...(images?.values() ?? [])].find((image) => image.steps)?.steps;
  if (stepTimes.length === 0 || !steps) return;
  imageTimes.set(edit.model, (steps * stepTimes.reduce((sum, time) => sum + time, 0)) / stepTimes.length);
}

/** Sends the draft as a new edit. */
export async function run(change: { seed?: string } = {}): Promise<void> {
  if (!model.value) return;
  const chosen: Values = { ...values.value, ...change };
  const first = pictures.value.get(references.value[0] ?? '');
  const [width, height] = sizeFor(chosen, first);
  const edit: Edit = {
    id: newUuid(),
    model: model.value.air,
    prompt: prompt.value.trim(),
    references: [...references.value],
    values: chosen,
    count: Number(chosen.numberResults ?? 1) || 1,
    created: Date.now(),
    state: 'running',
    results: [],
    errors: [],
    ...{ width, height },
  };
  fieldErrors.value = { fields: new Map(), others: [] };
  undone.value = [];
  keepEdit(edit);
  selection.value = { kind: 'edit', id: edit.id };
  await submit(edit);
}

function sizeFor(
  chosen: Readonly<Record<string, unknown>>,
  first: Picture | undefined,
): readonly [number, number] {
  const [width, height] = [Number(chosen.width), Number(chosen.height)];
  if (width && height) return [width, height];
  return nearestSize(modelSizes.value, first?.width ?? 1, first?.height ?? 1) ?? [1024, 1024];
}

async function submit(edit: Edit): Promise<void> {
  preparing.add(edit.id);
  try {
    const task = await taskOf(edit);
    // Cancelled in the meantime.
    if (edits.value.get(edit.id)?.state !== 'running') return;
    unsent.set(edit.id, task);
    send(edit.id);
  } catch (error) {
    if (error instanceof Refused) fail(edit.id, error.errors);
    // Sent again after the reconnection, when watchTask answers taskNotFound.
    else if (error instanceof Unreachable) resent.delete(edit.id);
    else throw error;
  } finally {
    preparing.delete(edit.id);
  }
}

/** The task of an edit. Uploads the pictures that the server does not have. Throws Refused and Unreachable. */
async function taskOf(edit: Edit): Promise<Task> {
  const upload = (ids: readonly string[]) => Promise.all(ids.map(uploaded));
  const adapters = (edit.values.ipAdapters ?? []) as { guideImages?: string[] }[];
  const ipAdapters = await Promise.all(
    adapters.map(async (adapter) => ({ ...adapter, guideImages: await upload(adapter.guideImages ?? []) })),
  );
  const painted = edit.values[maskPath];
  const mask = typeof painted === 'string' ? { [maskPath]: await uploaded(painted) } : {};
  const request = buildRequest(fields.value, {
    model: edit.model,
    prompt: edit.prompt,
    references: await upload(edit.references),
    values: { ...edit.values, ...(ipAdapters.length > 0 ? { ipAdapters } : {}), ...mask },
  });
  // The page fetches results with watchTask and getResponse, whatever deliveryMethod the form has.
  return { ...request, taskUUID: edit.id, deliveryMethod: 'async' };
}

const uploads = new Map<string, Promise<string>>();

/** The UUID of a picture on the server. Throws Refused and Unreachable. */
export function uploaded(id: string): Promise<string> {
  const picture = pictures.value.get(id);
  if (!picture) return Promise.resolve(id);
  if (picture.uuid) return Promise.resolve(picture.uuid);
  const under = uploads.get(id) ?? upload(picture).finally(() => uploads.delete(id));
  uploads.set(id, under);
  return under;
}

async function upload({ id, blob }: Picture): Promise<string> {
  const { imageUUID } = await ask({ taskType: 'imageUpload', image: await toDataUri(blob) });
  changePicture(id, { uuid: imageUUID! });
  return imageUUID!;
}

function hear({ data, errors }: Envelope): void {
  for (const error of errors) hearError(error);
  for (const item of data) {
    if (item.taskType === 'watchTask') hearWatched(item);
    else if (item.taskType === 'imageInference' && !item.status) noteAccepted(item.taskUUID);
  }
}

function noteAccepted(id: string): void {
  if (unsent.delete(id)) changeEdit(id, { isAccepted: true });
}

function hearWatched(item: Item): void {
  const edit = edits.value.get(item.taskUUID);
  if (edit?.state !== 'running') return;
  noteAccepted(edit.id);
  hearImage(item);
  if (item.status === 'success' || item.status === 'error') void collect(edit.id);
}

function hearError(error: WireError): void {
  const edit = edits.value.get(error.taskUUID ?? '');
  if (edit?.state !== 'running') return;
  if (error.code === 'conflictTaskUUID') {
    // The task was accepted before the connection broke.
    noteAccepted(edit.id);
    send(edit.id);
  } else if (error.taskType === 'watchTask' && unsent.has(edit.id)) {
    // The refusal of the task itself gives the reason.
  } else if (error.code === 'taskNotFound' && !resent.has(edit.id)) {
    // The page was closed before the task was sent, or the server lost its data.
    resent.add(edit.id);
    void submit(edit);
  } else if (error.code === 'mediaNotFound' && !renewed.has(edit.id)) {
    renewed.add(edit.id);
    void renew(edit);
  } else fail(edit.id, [...edit.errors, error]);
}

/** An upload expired on the server; the picture is still in this browser. */
async function renew(edit: Edit): Promise<void> {
  unsent.delete(edit.id);
  for (const id of [...edit.references, ...guidesOf(edit.values)])
    changePicture(id, { uuid: undefined as never });
  await submit(edit);
}

function fail(id: string, errors: readonly WireError[]): void {
  unsent.delete(id);
  changeEdit(id, { state: 'failed', errors: [...errors] });
  forgetLive(id);
  if (selection.value?.id === id) fieldErrors.value = placeErrors(errors, fields.value);
  announcement.value = `The edit failed. ${errors.map(({ message }) => message).join(' ')}`;
}

const collecting = new Map<string, Promise<void>>();

/** Fetches finished results of an edit, one request at a time. */
function collect(id: string): Promise<void> {
  const before = collecting.get(id) ?? Promise.resolve();
  const next = before
    .then(() => collectNow(id))
    .catch(() => say('The result could not be fetched; it is tried again when the server answers.'));
  collecting.set(id, next);
  return next;
}

async function collectNow(id: string): Promise<void> {
  const edit = edits.value.get(id);
  if (edit?.state !== 'running') return;
  const { data, errors } = await post({ taskType: 'getResponse', taskUUID: id });
  const results: Result[] = [];
  for (const item of data) {
    const known = edit.results.find(({ imageUUID }) => imageUUID === item.imageUUID);
    const result = known ?? (item.status === 'success' ? await takeResult(item, edit) : undefined);
    if (result) results.push(result);
  }
  const isOver = data.every(({ status }) => status === 'success');
  const cancelled = errors.some(({ code }) => code === 'taskCancelled');
  const images = [...(live.value.get(id)?.images.values() ?? [])];
  const caches = images.flatMap(({ cache }) => cache ?? []);
  const faces = images.map((image) => image.faces).filter((count) => count !== undefined);
  const sum = (name: keyof (typeof caches)[0]) => caches.reduce((total, cache) => total + cache[name], 0);
  const said = {
    ...(caches.length > 0
      ? {
          cache: {
            evaluations: sum('evaluations'),
            reused: sum('reused'),
            savedMilliseconds: sum('savedMilliseconds'),
          },
        }
      : {}),
    ...(faces.length > 0 ? { faces: faces.reduce((total, count) => total + count, 0) } : {}),
  };
  if (!isOver) {
    changeEdit(id, { results, ...said });
    return;
  }
  const failed = results.length === 0 ? 'failed' : 'done';
  const state = cancelled ? 'cancelled' : failed;
  changeEdit(id, {
    results,
    errors: cancelled ? [] : errors,
    state,
    milliseconds: Date.now() - edit.created,
    ...said,
  });
  noteTime(edit);
  forgetLive(id);
  void loadHealth();
  if (state === 'failed' && selection.value?.id === id) fieldErrors.value = placeErrors(errors, fields.value);
  announcement.value = {
    done: results.length === 1 ? 'The picture is ready.' : `${results.length} pictures are ready.`,
    cancelled: 'The edit is cancelled.',
    failed: `The edit failed. ${errors.map(({ message }) => message).join(' ')}`,
  }[state];
}

/** A result whose image has expired on the server has no picture. */
async function takeResult(item: Item, edit: Edit): Promise<Result | undefined> {
  const inline = item.imageDataURI ?? item.imageBase64Data;
  const type = `image/${String(edit.values.outputFormat ?? 'jpeg')
    .toLowerCase()
    .replace('jpg', 'jpeg')}`;
  const blob = inline ? fromBase64(inline, type) : await getImage(item.imageURL!);
  const seed = String(item.seed);
  if (!blob) return { picture: `gone ${item.imageUUID}`, imageUUID: item.imageUUID!, seed };
  const name = `${edit.prompt.slice(0, 40).replace(/[^\p{L}\p{N}]+/gu, '-')}-${seed}.${type.slice(6).replace('jpeg', 'jpg')}`;
  const picture = await readPicture(blob, name);
  keepPicture({ ...picture, uuid: item.imageUUID! });
  await noteStored(blob, edit);
  const nsfw = item.NSFWContent;
  const cost = item.cost;
  return {
    picture: picture.id,
    imageUUID: item.imageUUID!,
    seed,
    ...(nsfw === undefined ? {} : { nsfw }),
    ...(cost === undefined ? {} : { cost }),
  };
}

/** Notes the hash of the stored uploads, which the metadata of a result has: the server scales large uploads down. */
async function noteStored(blob: Blob, edit: Edit): Promise<void> {
  const record = readPlanRecord(new Uint8Array(await blob.arrayBuffer()));
  const hashes = (record?.references ?? []) as string[];
  for (const [index, id] of edit.references.entries()) {
    const hash = hashes[index]?.replace(/^sha256:/, '');
    if (hash && hash !== id && pictures.value.get(id)?.storedHash !== hash)
      changePicture(id, { storedHash: hash });
  }
}

export function cancel(id: string): void {
  if (unsent.has(id) || preparing.has(id)) {
    unsent.delete(id);
    changeEdit(id, { state: 'cancelled' });
  }
  // watchTask then reports the end.
  connection.send({ taskType: 'cancelTask', taskUUID: id });
  announcement.value = 'Cancelling.';
}

/** Repeats an edit as a new task. */
export async function again(edit: Edit): Promise<void> {
  const next: Edit = {
    ...edit,
    id: newUuid(),
    created: Date.now(),
    state: 'running',
    results: [],
    errors: [],
  };
  keepEdit(next);
  selection.value = { kind: 'edit', id: next.id };
  await submit(next);
}

/** Repeats an edit with the seeds after its own. */
export async function moreLike(edit: Edit): Promise<void> {
  const last = edit.results.reduce((max, { seed }) => (BigInt(seed) > max ? BigInt(seed) : max), -1n);
  await again({ ...edit, values: { ...edit.values, seed: (last + 1n).toString() } });
}
