/** The dispatch table of the command line and the handling of errors and exit codes. */

import { existsSync } from 'node:fs';
import { RetouchError } from '../error.ts';
import { nearest } from '../nearest.ts';
import { readVersion } from '../version.ts';
import type { Command } from './command.ts';
import { usageErrors } from './errors.ts';
import { cliError, parseArguments } from './flags/arguments.ts';
import { looksLikePicture } from './flags/formats.ts';
import { allSettings, configFrom, settingFlags } from './flags/settings.ts';
import { commandHelp, generalHelp } from './terminal/help.ts';

/** Commands are imported on demand, so that `edit` does not load the server and `--help` loads neither. */
const commands: Readonly<Record<string, { summary: string; load: () => Promise<Command> }>> = {
  edit: {
    summary: 'Edit a picture from a sentence.',
    load: async () => (await import('./commands/edit.ts')).edit,
  },
  serve: { summary: 'Start the server.', load: async () => serve },
  worker: {
    summary: 'Make images for servers elsewhere, over Redis.',
    load: async () => (await import('./commands/worker.ts')).worker,
  },
  workers: {
    summary: 'List the workers of a fleet.',
    load: async () => (await import('./commands/workers.ts')).workers,
  },
  mcp: {
    summary: 'Serve agents: an MCP server on standard input and output.',
    load: async () => (await import('./commands/mcp.ts')).mcp,
  },
  pull: {
    summary: 'Download a model: FLUX.1 Kontext [dev] unless another is named.',
    load: async () => (await import('./commands/pull.ts')).pullCommand,
  },
  models: {
    summary: 'List, add and remove models, LoRAs and other adapters.',
    load: async () => (await import('./commands/models.ts')).models,
  },
  info: {
    summary: 'Print how a PNG or WebP of Retouch was made.',
    load: async () => (await import('./commands/info.ts')).info,
  },
  keys: {
    summary: 'Make, list and revoke API keys.',
    load: async () => (await import('./commands/keys.ts')).keys,
  },
  doctor: {
    summary: 'Check this machine: devices, memory, models, and problems.',
    load: async () => (await import('./commands/doctor.ts')).doctor,
  },
};

const serveFlags = settingFlags(allSettings, true);

const serve: Command = {
  summary: 'Start the server: the task API over HTTP.',
  usage: ['serve [flags]'],
  details: ['Every flag is also an environment variable; the flag wins.'],
  flags: serveFlags,
  async run(words) {
    const { values, positionals } = parseArguments(words, serveFlags);
    if (positionals.length > 0)
      throw cliError('argumentUnexpected', `serve takes flags only; found '${positionals[0]}'.`);
    await (await import('./commands/serve.ts')).serve(configFrom(values));
    return undefined;
  },
};

export async function main(words: readonly string[]): Promise<void> {
  try {
    const code = await dispatch(words);
    // Not process.exit, which would lose output still buffered for a pipe.
    if (code !== undefined) process.exitCode = code;
  } catch (error) {
    process.exitCode = report(error, words);
  }
}

async function dispatch(words: readonly string[]): Promise<number | undefined> {
  const [first, ...rest] = words;
  if (first === undefined || first === '--help' || first === '-h' || first === 'help') return help(rest);
  if (first === '--version' || first === '-v') return print(`${await readVersion()}\n`);
  const entry = Object.hasOwn(commands, first) ? commands[first] : undefined;
  if (!entry && !words.some(looksLikePicture) && !existsSync(first)) throw unknownCommand(first);
  const command = await (entry ?? commands.edit)!.load();
  const own = entry ? rest : words;
  const flagWords = own.includes('--') ? own.slice(0, own.indexOf('--')) : own;
  if (flagWords.includes('--help') || flagWords.includes('-h')) return print(commandHelp(command));
  return command.run(own);
}

async function help([name]: readonly string[]): Promise<number> {
  const entry = name !== undefined && Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (entry) return print(commandHelp(await entry.load()));
  const summaries = Object.fromEntries(
    Object.entries(commands).map(([name, { summary }]) => [name, summary]),
  );
  return print(generalHelp(summaries, await readVersion()));
}

function unknownCommand(word: string): RetouchError {
  const guess = nearest(word, Object.keys(commands));
  const hint = guess ? `Did you mean ${guess}?` : `There are ${Object.keys(commands).join(', ')}.`;
  return cliError(
    'commandUnknown',
    `There is no command '${word}', and it is not the name of a picture. ${hint}`,
  );
}

function report(error: unknown, words: readonly string[]): number {
  if (!(error instanceof RetouchError) || error.code === 'internalError') {
    console.error('This is a bug in Retouch:', error instanceof RetouchError ? error.message : error);
    return 1;
  }
  const lines = Array.isArray(error.details.lastLines) ? error.details.lastLines : [];
  if (lines.length > 0)
    console.error(`The engine's last words:\n${lines.map((line) => `  ${line}`).join('\n')}`);
  console.error(`retouch: ${error.message}`);
  if (!usageErrors.includes(error.code)) return 1;
  const command = words[0] !== undefined && Object.hasOwn(commands, words[0]) ? `${words[0]} ` : '';
  console.error(`'retouch ${command}--help' says what there is.`);
  return 2;
}

function print(text: string): number {
  process.stdout.write(text);
  return 0;
}
