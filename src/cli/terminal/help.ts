/** Help texts, made from the same tables that the commands are parsed with. */

import type { Command } from '../command.ts';
import type { Flag, Flags } from '../flags/arguments.ts';

const width = 100;

export function generalHelp(summaries: Readonly<Record<string, string>>, version: string): string {
  return [
    `Retouch ${version}: edits pictures from a sentence, on this machine.`,
    '',
    'Usage:',
    '  retouch photo.jpg "make the sky pink"',
    '  retouch <command> [flags]',
    '',
    'Commands:',
    ...table(Object.entries(summaries)),
    '',
    "'retouch <command> --help' says more about one; --version prints the version.",
    '',
  ].join('\n');
}

export function commandHelp({ summary, usage, details = [], flags }: Command): string {
  const help: Flags = { ...flags, help: { about: 'This text.', short: 'h' } };
  return [
    summary,
    '',
    'Usage:',
    ...usage.map((line) => `  retouch ${line}`),
    ...details.flatMap((paragraph) => ['', ...wrap(paragraph, width)]),
    '',
    'Flags:',
    ...table(Object.entries(help).map(([name, flag]) => [spell(name, flag), flag.about])),
    '',
  ].join('\n');
}

function spell(name: string, { value, short }: Flag): string {
  return `${short ? `-${short}, ` : '    '}--${name}${value === undefined ? '' : ` ${value}`}`;
}

function table(rows: readonly (readonly [left: string, right: string])[]): string[] {
  const column = Math.max(...rows.map(([left]) => left.length)) + 4;
  return rows.flatMap(([left, right]) =>
    wrap(right, width - column).map(
      (line, index) => `${(index === 0 ? `  ${left}` : '').padEnd(column)}${line}`,
    ),
  );
}

function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const last = lines.at(-1);
    if (last !== undefined && last.length + 1 + word.length <= columns)
      lines[lines.length - 1] = `${last} ${word}`;
    else lines.push(word);
  }
  return lines;
}
