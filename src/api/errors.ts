/**
 * The error objects of the wire. Clients classify a code by its beginning or end (`invalid…`, `missing…`,
 * `unsupported…`, `…NotFound`), so new codes keep to those.
 */

import { RetouchError } from '../error.ts';

export type ErrorObject = {
  code: string;
  message: string;
  /** A path such as `inputs.referenceImages`; several for a rule between parameters. */
  parameter?: string | string[];
  type?: string;
  min?: number | bigint;
  max?: number | bigint;
  multiplier?: number;
  default?: unknown;
  allowedValues?: readonly unknown[];
  documentation?: string;
  taskType?: string;
  taskUUID?: string;
  /** In answers to getResponse, as items have it. */
  status?: 'error';
};

/** An error object and the HTTP status of a request in which nothing else succeeds. */
export type Failure = { status: number; error: ErrorObject };

/** Code → status, meaning. Errors of one parameter are `invalid…`, `missing…` and the parameter's name besides. */
export const apiErrors = {
  arrayTooSmall: [400, 'The request is an array without a task.'],
  conflictTaskUUID: [400, 'Another task has this taskUUID.'],
  downloadFailed: [400, 'An input picture could not be fetched from its URL.'],
  failedTaskTimeout: [
    504,
    'The task takes longer than a request may wait; it goes on, and getResponse has its results.',
  ],
  forbidden: [403, 'A web page of another site asked a server that has no API keys.'],
  headersTooLarge: [431, 'The headers of the request are larger than the server takes.'],
  incompatibleParameters: [400, 'Parameters were given that exclude or contradict each other.'],
  internalServerError: [500, 'A bug of the server; its log has the details.'],
  invalidApiKey: [401, 'The API key is not one of those configured.'],
  invalidBody: [400, 'The body of the request is not a JSON array of task objects.'],
  invalidRequest: [400, 'What came over the connection is not HTTP.'],
  maxTasksExceeded: [400, 'One request has more tasks than the server takes.'],
  mediaNotFound: [404, 'No stored picture has the UUID given.'],
  methodNotAllowed: [405, 'The address exists, but not for this HTTP method.'],
  missingApiKey: [401, 'The server has API keys and the request gives none.'],
  modelNotFound: [404, 'The model is not installed.'],
  rateLimitExceeded: [
    429,
    'The queue is full, or the key has as many images in it as it may; try again later.',
  ],
  requestTimeout: [408, 'The request did not arrive whole in the time that it may take.'],
  routeNotFound: [404, 'Nothing is served at this address.'],
  serverUnavailable: [
    503,
    'The server is shutting down, takes no more connections or bytes, or no worker of the fleet can make the image; try again.',
  ],
  storageLimitExceeded: [403, 'The stored images of the key are as many bytes as it may have; delete some.'],
  taskCancelled: [409, 'The task was cancelled before its image was finished.'],
  taskFailed: [500, 'The server ended again and again while it made the image, which is not tried any more.'],
  taskNotFound: [404, 'No task has this taskUUID, or its results are no longer kept.'],
  unknownParameter: [400, 'The task has a parameter that its task type does not know.'],
  unsupportedContentEncoding: [415, 'The Content-Encoding of the body is not one that the server decodes.'],
  unsupportedContentType: [415, 'The body is a form, where the API takes JSON.'],
  unsupportedDeliveryMethod: [
    400,
    'The images take longer than a sync request may wait; they have to be asked for with async.',
  ],
  unsupportedDimensions: [400, 'The width and height are not a pair that the model draws.'],
  unsupportedIpAdaptersModel: [
    400,
    'The IP-Adapter is of another architecture than the model, or its files do not fit it.',
  ],
  unsupportedLoraModel: [
    400,
    'The LoRA is of another architecture than the model, or its file does not fit it.',
  ],
  unsupportedParameter: [400, 'The parameter is valid, but this version cannot act on it yet.'],
  unsupportedTaskType: [400, 'The server has no such task type.'],
  valueTooLarge: [413, 'The body of the request is larger than the server takes.'],
} as const satisfies Record<string, readonly [status: number, meaning: string]>;

export type ApiErrorCode = keyof typeof apiErrors;

/** Codes outside the table name one parameter, which is the client's fault: 400. */
export function statusOf(code: string): number {
  return Object.hasOwn(apiErrors, code) ? apiErrors[code as ApiErrorCode][0] : 400;
}

/** The members that tie an error to its task in the request. */
export type ErrorPlace = Partial<Omit<ErrorObject, 'code' | 'message'>>;

export function failure(code: ApiErrorCode, message: string, place: ErrorPlace = {}): Failure {
  return { status: apiErrors[code][0], error: { code, message, ...place } };
}

/** For raising a failure where returning one is awkward; `failureOf` gives it back. */
export function apiError(code: ApiErrorCode, message: string, place: ErrorPlace = {}): RetouchError {
  return new RetouchError(code, message, { failure: failure(code, message, place) });
}

export function failureOf(error: unknown): Failure | undefined {
  return error instanceof RetouchError ? (error.details.failure as Failure | undefined) : undefined;
}
