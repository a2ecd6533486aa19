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
import type { EngineErrorCode } from '../engine/errors.ts';
import { RetouchError } from '../error.ts';
import type { FleetErrorCode } from '../fleet/errors.ts';
import type { Log } from '../log.ts';
import type { NetErrorCode } from '../net/errors.ts';
import type { QueueErrorCode } from '../queue/queue.ts';
import type { StoreErrorCode } from '../store/errors.ts';
import type { PrivatePaths } from './private-paths.ts';

/** Codes that have another code on the wire. The rest keep their code, with status 500. */
const wireCodes = {
  engineAborted: 'taskCancelled',
  engineClosed: 'serverUnavailable',
  fetchAborted: 'taskCancelled',
  jobAborted: 'taskCancelled',
  queueClosed: 'serverUnavailable',
  queueFull: 'rateLimitExceeded',
  storageLimitReached: 'storageLimitExceeded',
  transferTooLarge: 'valueTooLarge',
} satisfies Partial<
  Record<EngineErrorCode | FleetErrorCode | NetErrorCode | QueueErrorCode | StoreErrorCode, ApiErrorCode>
>;

/** Errors of a LoRA's file, found when it is read for the model. */
const loraFaults: readonly string[] = [
  'loraInvalid',
  'loraMisfit',
  'loraRefused',
  'loraUnknown',
  'loraUnmatched',
] satisfies EngineErrorCode[];

const ipAdapterFaults: readonly string[] = [
  'ipAdapterMisfit',
  'ipAdapterUnsupported',
] satisfies EngineErrorCode[];

/** Failures of the machine: the same request may succeed later. */
const unavailable: readonly string[] = [
  'assetWriteFailed',
  'databaseBusy',
  'databaseFull',
  'inputWriteFailed',
  'notEnoughMemory',
  'storageRefused',
  'storageUnreachable',
  'transferLost',
  'workerLacksModel',
  'workerLost',
] satisfies (EngineErrorCode | FleetErrorCode | StoreErrorCode)[];

export function isDamage(error: unknown): boolean {
  return error instanceof RetouchError && error.code === ('databaseCorrupt' satisfies StoreErrorCode);
}

export class Failures {
  readonly #paths: PrivatePaths;
  readonly #log: Log;

  constructor(paths: PrivatePaths, log: Log) {
    this.#paths = paths;
    this.#log = log;
  }

  /** Turns an error of reading a late reply into a failure, because transports do not know the stores' errors. */
  guardRead(reply: PendingReply, place: ErrorPlace): PendingReply {
    if (!('read' in reply)) return reply;
    return { ...reply, read: () => reply.read().catch((error) => ({ failure: this.of(error, place) })) };
  }

  /** The message of an error as clients may read it. */
  messageOf({ message, details }: RetouchError): string {
    return this.#paths.hide(message, details);
  }

  of(error: unknown, place: ErrorPlace): Failure {
    const known = failureOf(error);
    if (known) return { status: known.status, error: { ...known.error, ...place } };
    if (!(error instanceof RetouchError) || error.code === 'internalError') {
      this.#log.error('A task failed because of a bug.', { taskUUID: place.taskUUID, error });
      const message = 'The server failed in a way it should not; its log has the details.';
      return { status: 500, error: { code: 'internalServerError', message, ...place } };
    }
    const message = this.messageOf(error);
    const code = (wireCodes as Partial<Record<string, ApiErrorCode>>)[error.code];
    if (code !== undefined) return { status: apiErrors[code][0], error: { code, message, ...place } };
    if (loraFaults.includes(error.code))
      return failure('unsupportedLoraModel', message, { parameter: 'lora.model', ...place });
    if (ipAdapterFaults.includes(error.code))
      return failure('unsupportedIpAdaptersModel', message, { parameter: 'ipAdapters.model', ...place });
    if (error.code === ('guideUndecodable' satisfies EngineErrorCode)) {
      const facts = { code: 'invalidIpAdaptersGuideImages', parameter: 'ipAdapters.guideImages' };
      return { status: 400, error: { ...facts, message, ...place } };
    }
    // Every image was decoded once before it reached the engine: its copy on the disk is damaged.
    if (isImageFault(error.code)) {
      const facts = { code: 'invalidReferenceImages', parameter: 'inputs.referenceImages' };
      return { status: 400, error: { ...facts, message, ...place } };
    }
    this.#log.error('A task failed.', {
      taskUUID: place.taskUUID,
      code: error.code,
      reason: error.message,
    });
    const status = unavailable.includes(error.code) ? 503 : 500;
    return { status, error: { code: error.code, message, ...place } };
  }
}

const imageFaults: readonly string[] = [
  'imageUndecodable',
  'imageTooLarge',
  'imageTooSlow',
  'maskUnusable',
] satisfies EngineErrorCode[];

export function isImageFault(code: string): boolean {
  return imageFaults.includes(code);
}
