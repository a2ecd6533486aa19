/** Errors of the engine, the queue, the stores and the network → error objects of the wire. */

import {
  type ApiErrorCode,
  apiErrors,
  type ErrorPlace,
  type Failure,
  failure,
  failureOf,
} from '../api/errors.ts';
import type { PendingReply } from '../api/results.ts';
import { RetouchError } from '../error.ts';
import type { Log } from '../log.ts';

/** Codes with a counterpart on the wire. Others keep their code, with status 500. */
const wireCodes: Readonly<Record<string, ApiErrorCode>> = {
  engineAborted: 'taskCancelled',
  engineClosed: 'serverUnavailable',
  fetchAborted: 'taskCancelled',
  jobAborted: 'taskCancelled',
  queueClosed: 'serverUnavailable',
  queueFull: 'rateLimitExceeded',
};

/** Found when a LoRA's file is read for the model. */
const loraFaults: ReadonlySet<string> = new Set([
  'loraInvalid',
  'loraMisfit',
  'loraRefused',
  'loraUnknown',
  'loraUnmatched',
]);

const ipAdapterFaults: ReadonlySet<string> = new Set(['ipAdapterMisfit', 'ipAdapterUnsupported']);

/** Failures of the machine: the same request may succeed later. */
const unavailable: ReadonlySet<string> = new Set([
  'assetWriteFailed',
  'databaseBusy',
  'databaseFull',
  'inputWriteFailed',
  'notEnoughMemory',
]);

/** Turns what reading a late reply throws into a failure: the transport that reads it knows no errors of the stores. */
export function guardRead(reply: PendingReply, place: ErrorPlace, log: Log): PendingReply {
  if (!('read' in reply)) return reply;
  const read = () => reply.read().catch((error) => ({ failure: toFailure(error, place, log) }));
  return { ...reply, read };
}

export function toFailure(error: unknown, place: ErrorPlace, log: Log): Failure {
  const known = failureOf(error);
  if (known) return { status: known.status, error: { ...known.error, ...place } };
  if (!(error instanceof RetouchError) || error.code === 'internalError') {
    log.error('A task failed because of a bug.', { taskUUID: place.taskUUID, error });
    const message = 'The server failed in a way it should not; its log has the details.';
    return { status: 500, error: { code: 'internalServerError', message, ...place } };
  }
  const code = wireCodes[error.code];
  if (code !== undefined)
    return { status: apiErrors[code][0], error: { code, message: error.message, ...place } };
  if (loraFaults.has(error.code))
    return failure('unsupportedLoraModel', error.message, { parameter: 'lora.model', ...place });
  if (ipAdapterFaults.has(error.code))
    return failure('unsupportedIpAdaptersModel', error.message, { parameter: 'ipAdapters.model', ...place });
  if (error.code === 'guideUndecodable') {
    const facts = { code: 'invalidIpAdaptersGuideImages', parameter: 'ipAdapters.guideImages' };
    return { status: 400, error: { ...facts, message: error.message, ...place } };
  }
  // Every image was decoded once before it reached the engine: its copy on the disk is damaged.
  if (isImageFault(error.code)) {
    const facts = { code: 'invalidReferenceImages', parameter: 'inputs.referenceImages' };
    return { status: 400, error: { ...facts, message: error.message, ...place } };
  }
  log.error('A task failed.', { taskUUID: place.taskUUID, code: error.code, reason: error.message });
  const status = unavailable.has(error.code) ? 503 : 500;
  return { status, error: { code: error.code, message: error.message, ...place } };
}

export function isImageFault(code: string): boolean {
  return ['imageUndecodable', 'imageTooLarge', 'imageTooSlow', 'maskUnusable'].includes(code);
}
