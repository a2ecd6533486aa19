/** `retouch info`: prints the generation parameters in an image's metadata. */

import { readFile } from 'node:fs/promises';
import { readPlanRecord } from '../../engine/pipeline/plan-record.ts';
import type { Command } from '../command.ts';
import { cliError, parseArguments } from '../flags/arguments.ts';

const flags = {};

export const info: Command = {
  summary: 'Print how a picture of Retouch was made.',
  usage: ['info picture.png'],
  details: ['Prints the prompt, the seed and everything else that decided the picture, as JSON.'],
  flags,
  async run(words) {
    const [path, extra] = parseArguments(words, flags).positionals;
    if (path === undefined) throw cliError('argumentMissing', 'info needs a picture.');
    if (extra !== undefined)
      throw cliError('argumentUnexpected', `info takes one picture; found also '${extra}'.`);
    const bytes = await readFile(path).catch((error) => {
      throw cliError('inputUnreadable', `${path} cannot be read: ${error.code ?? error.message}.`, error);
    });
    const record = readPlanRecord(bytes);
    if (!record) {
      throw cliError(
        'recordMissing',
        `${path} does not say how it was made; files of Retouch do, unless something removed it.`,
      );
    }
    console.log(JSON.stringify(record, null, 2));
    return 0;
  },
};
