/**
 * The one base class of every error the product raises on purpose.
 *
 * `code` is stable and listed in docs/errors.md; `message` is a sentence that says what was found, what was
 * expected and where. Anything that is not a RetouchError is a bug and is reported as such.
 */
export class RetouchError extends Error {
  readonly code: string;
  readonly details: Readonly<Record<string, unknown>>;

  constructor(code: string, message: string, details: Record<string, unknown> = {}, options?: ErrorOptions) {
    super(message, options);
    this.name = 'RetouchError';
    this.code = code;
    this.details = details;
  }
}

/** A RetouchError as plain data, for crossing a process boundary. */
export type ErrorData = { code: string; message: string; details: Record<string, unknown> };

export function toErrorData(error: unknown): ErrorData {
  if (error instanceof RetouchError) {
    return { code: error.code, message: error.message, details: { ...error.details } };
  }
  const message = error instanceof Error ? (error.stack ?? error.message) : String(error);
  return { code: 'internalError', message, details: {} };
}

export function fromErrorData(data: ErrorData): RetouchError {
  return new RetouchError(data.code, data.message, data.details);
}
