/** Failures → the errors of OpenAI's API, in the words of its parameters. */

import type { ErrorObject, Failure } from '../errors.ts';
import { taskParameters } from './requests.ts';

export type OpenAIError = {
  error: { message: string; type: string; param: string | null; code: string } & Record<string, unknown>;
};

/** OpenAI's clients read one error. Its message joins the messages of all; its other members are the first error's. */
export function toOpenAIError(failures: readonly [Failure, ...Failure[]]): {
  status: number;
  body: OpenAIError;
} {
  const words = failures.map(inClientWords);
  const { status, error } = words[0]!;
  // Members that OpenAI's errors do not have: allowedValues, min, max, default, taskUUID.
  const { message: _, parameter, code, type: __, taskType: ___, documentation: ____, ...facts } = error;
  const messages = words.map(({ error }) => error.message);
  return {
    status,
    body: {
      error: {
        message: [...new Set(messages)].join('\n'),
        type: typeOf(status),
        param: (Array.isArray(parameter) ? parameter[0] : parameter) ?? null,
        code,
        ...facts,
      },
    },
  };
}

function typeOf(status: number): string {
  if (status === 401) return 'authentication_error';
  if (status === 403) return 'permission_error';
  if (status === 429) return 'rate_limit_error';
  return status >= 500 ? 'server_error' : 'invalid_request_error';
}

/** Replaces the names of the Task's parameters, alone or quoted in a message, by the request's names. */
export function inClientWords({ status, error }: Failure): Failure {
  const { parameter } = error;
  const names = typeof parameter === 'string' ? [parameter] : parameter?.map(String);
  const renamed = names && [...new Set(names.map(clientName))];
  return {
    status,
    error: {
      ...error,
      code: camelCase(error.code),
      message: error.message.replace(
        /'([A-Za-z.]+)((?:\[\d+\])?)'/g,
        (quoted, name: string, index: string) =>
          Object.hasOwn(taskParameters, name) ? `'${taskParameters[name]}${index}'` : quoted,
      ),
      ...(renamed === undefined ? {} : { parameter: renamed.length === 1 ? renamed[0]! : renamed }),
    } satisfies ErrorObject,
  };
}

function clientName(name: string): string {
  return Object.hasOwn(taskParameters, name) ? taskParameters[name]! : name;
}

/** `invalidOutput_format` → `invalidOutputFormat`, as all codes are written. */
function camelCase(code: string): string {
  return code.replace(/_([a-z])/g, (_, letter: string) => letter.toUpperCase());
}
