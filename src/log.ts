/**
 * One JSON object per line on stderr: level, time, message, then the fields. The door to pino. A rule keeps keys, prompts
 * and image data out of it, whoever writes them and at whatever depth.
 */

import { pino } from 'pino';

export type LogLevel = 'debug' | 'info' | 'warn' | 'error';

type Fields = Record<string, unknown>;
type Write = (message: string, fields?: Fields) => void;

export type Log = { readonly [Level in LogLevel]: Write } & {
  /** A log that adds these fields to every line. */
  child(fields: Fields): Log;
};

export function createLog(
  least: LogLevel,
  writeLine: (line: string) => void = (line) => process.stderr.write(line),
): Log {
  const options = {
    level: least,
    messageKey: 'message',
    // Neither the process id nor the host name: whoever collects logs knows where from.
    base: null,
    timestamp: () => `,"time":"${new Date().toISOString()}"`,
    formatters: { level: (level: string) => ({ level }) },
  };
  return wrap(pino(options, { write: writeLine }), {});
}

function wrap(logger: pino.Logger, bound: Fields): Log {
  const write =
    (level: LogLevel): Write =>
    (message, fields) => {
      if (!logger.isLevelEnabled(level)) return;
      logger[level](clean({ ...bound, ...fields }) as object, cleanText(message));
    };
  return {
    debug: write('debug'),
    info: write('info'),
    warn: write('warn'),
    error: write('error'),
    child: (fields) => wrap(logger, { ...bound, ...fields }),
  };
}

const secretName = /key|token|secret|passw|credential|authorization|cookie|prompt/i;
const hidden = '[hidden]';
const maxDepth = 6;
const maxItems = 50;
const maxText = 4000;

/** The value without secrets, bounded in depth, items and length. */
function clean(value: unknown, depth = 0): unknown {
  if (typeof value === 'bigint') return value.toString();
  if (typeof value === 'string') return cleanText(value);
  if (typeof value !== 'object' || value === null) return value;
  if (value instanceof Error) return cleanText(value.stack ?? value.message);
  if (ArrayBuffer.isView(value) || value instanceof ArrayBuffer) return `[${value.byteLength} bytes]`;
  if (depth >= maxDepth) return '[deeper]';
  if (Array.isArray(value)) return value.slice(0, maxItems).map((item) => clean(item, depth + 1));
  return Object.fromEntries(
    Object.entries(value)
      .slice(0, maxItems)
      .map(([name, item]) => [name, secretName.test(name) ? hidden : clean(item, depth + 1)]),
  );
}

/** Sentences quote what clients sent. */
function cleanText(text: string): string {
  return text
    .slice(0, maxText)
    .replace(/\bBearer\s+\S+/gi, `Bearer ${hidden}`)
    .replace(/\brt_[\w-]{16,}/g, hidden)
    .replace(/data:[\w/+.-]*;base64,[\w+/=]*/g, 'data:[image]')
    .replace(/[\w+/]{200,}=*/g, '[base64]')
    .replace(/(\bhttps?:\/\/[^\s?#'"]+)\?[^\s'"]*/g, '$1?…')
    .replace(/(\/images\/)[\da-f]{8}-[\da-f-]{27}/gi, '$1…');
}
