/** `--ip-adapter AIR[:WEIGHT]=FILE[,FILE…]` */

import type { Reference } from '../../tasks/inputs/resolve.ts';
import { cliError } from './arguments.ts';
import { readPicture } from './images.ts';

export type FlaggedIpAdapter = { model: string; weight: string | undefined; files: string[] };

/** An AIR ends with a version after its @, so a colon after the @ begins the weight. */
export function readIpAdapter(text: string): FlaggedIpAdapter {
  const [, model, weight, files] = text.match(/^([^@=]+@[^:=]+)(?::([^=]*))?=(.+)$/) ?? [];
  if (model !== undefined && files !== undefined) return { model, weight, files: files.split(',') };
  throw cliError(
    'flagInvalid',
    `--ip-adapter is '${text}'; expected an AIR and pictures, such as retouch:palette@1:0.8=sunset.jpg.`,
  );
}

/** The pictures of each adapter, in order. */
export function readGuides(adapters: readonly FlaggedIpAdapter[] = []): Promise<Reference[][]> {
  return Promise.all(adapters.map(({ files }) => Promise.all(files.map(readPicture))));
}
