/** One JSON object per line on stderr: level, time, message, then the fields. Never keys, prompts or image data. */

export const logLevels = ['debug', 'info', 'warn', 'error'] as const;
export type LogLevel = (typeof logLevels)[number];
type Write = (message: string, fields?: Record<string, unknown>) => void;
export type Log = { readonly [Level in LogLevel]: Write };

export function createLog(
  least: LogLevel,
  writeLine: (line: string) => void = (line) => process.stderr.write(line),
): Log {
  const write = (level: LogLevel): Write => {
    if (logLevels.indexOf(level) < logLevels.indexOf(least)) return () => {};
    return (message, fields = {}) => {
      const entry = { level, time: new Date().toISOString(), message, ...fields };
      writeLine(`${JSON.stringify(entry, plain)}\n`);
    };
  };
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') };
}

function plain(_key: string, value: unknown): unknown {
  if (typeof value === 'bigint') return value.toString();
  return value instanceof Error ? (value.stack ?? value.message) : value;
}
