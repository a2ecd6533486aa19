import { RetouchError } from '../error.ts';

export const mcpErrors = {
  fileUnreadable: 'A picture that a client named by its path cannot be read.',
  fileUnwritable: 'A picture cannot be written where a client asked for it.',
  pathRefused: 'A path leads outside the folders that the client or --root allows.',
  serverUnreachable: 'The server of --url does not answer, or takes no such key.',
} as const;

export type McpErrorCode = keyof typeof mcpErrors;

export function mcpError(code: McpErrorCode, message: string, cause?: unknown): RetouchError {
  return new RetouchError(code, message, {}, cause === undefined ? {} : { cause });
}
