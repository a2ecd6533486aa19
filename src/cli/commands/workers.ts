/** `retouch workers`: lists the workers of a fleet. */

import { openFleet } from '../../fleet/open.ts';
import { Registry, type WorkerEntry } from '../../fleet/registry.ts';
import { readVersion } from '../../version.ts';
import type { Command } from '../command.ts';
import { type Arguments, cliError, parseArguments } from '../flags/arguments.ts';
import { configFrom, fleetSettings, settingFlags } from '../flags/settings.ts';

const flags = { json: { about: 'Print JSON.' } } as const;
const allFlags = { ...flags, ...(settingFlags(fleetSettings, true) as Record<string, never>) };

export const workers: Command = {
  summary: 'List the workers of a fleet.',
  usage: ['workers --redis URL [--json]'],
  details: ['A line for each engine of each worker that lives: its state, and the models of the worker.'],
  flags: allFlags,
  async run(words) {
    const { values, positionals }: Arguments<typeof flags> = parseArguments(words, allFlags);
    if (positionals.length > 0)
      throw cliError('argumentUnexpected', `workers takes flags only; found '${positionals[0]}'.`);
    const config = configFrom(values);
    if (config.redis === '')
      throw cliError('argumentMissing', 'workers needs --redis, the address of Redis.');
    const { connection } = await openFleet(config);
    try {
      const found = await new Registry(connection).workers();
      if (values.json) console.log(JSON.stringify(found, null, 2));
      else console.log(found.length === 0 ? 'No worker is connected.' : format(found, await readVersion()));
      return 0;
    } finally {
      connection.redis.disconnect();
    }
  },
};

/** Versions other than this program's are marked: its servers give those workers nothing. */
function format(found: readonly WorkerEntry[], version: string): string {
  const head = ['WORKER', 'VERSION', 'ENGINE', 'STATE', 'RESTARTS', 'HOLDS', 'MODELS'];
  const rows = found.flatMap((worker) =>
    worker.engines.map((engine) => [
      worker.name,
      worker.version === version ? version : `${worker.version} (this is ${version})`,
      engine.name,
      worker.draining ? `${engine.state}, draining` : engine.state,
      String(engine.restarts),
      engine.model ?? '',
      worker.have.map(({ air }) => air).join(' '),
    ]),
  );
  const widths = head.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  return [head, ...rows]
    .map((row) =>
      row
        .map((cell, i) => cell.padEnd(widths[i]!))
        .join('  ')
        .trimEnd(),
    )
    .join('\n');
}
