/** Prompts, requests and pictures are for the account that runs the server, and for no other user of the machine. */

import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { lockFolder } from '../../src/store/db.ts';
import { drawPicture, openBench, task, temporaryFolder } from './fixture.ts';

it('no file and no folder that the server makes can be read by other users, whatever the umask', async () => {
  await using folder = await temporaryFolder();
  const dataDir = join(folder.path, 'data');
  const umask = process.umask(0o000);
  try {
    const bench = await openBench(dataDir);
    const gate = Promise.withResolvers<void>();
    bench.engine.script = () => gate.promise;
    const picture = (await drawPicture(64, 48)).toString('base64');
    await bench.post([{ ...task, deliveryMethod: 'async', inputs: { referenceImages: [picture] } }]);
    await expect.poll(() => bench.engine.plans.length).toBe(1);
    await bench.post([{ taskType: 'imageUpload', taskUUID: task.taskUUID, image: picture }]);
    const found = readdirSync(dataDir, { recursive: true, encoding: 'utf8' })
      // The fixture's own model.
      .filter((name) => !name.startsWith('embedded'));
    const modes = found.map((name) => `${name} ${modeOf(join(dataDir, name))}`);
    for (const part of ['inputs/', 'images/', 'retouch.db-wal', 'serve.lock']) {
      expect(
        modes.some((line) => line.startsWith(part)),
        part,
      ).toBe(true);
    }
    expect(modes.filter((line) => !/ [67]00$/.test(line))).toEqual([]);
    gate.resolve();
    await bench.close();
    const fresh = join(folder.path, 'fresh', 'data');
    lockFolder(fresh).release();
    expect(modeOf(fresh)).toBe('700');
  } finally {
    process.umask(umask);
  }
});

function modeOf(path: string): string {
  return (statSync(path).mode & 0o777).toString(8);
}
