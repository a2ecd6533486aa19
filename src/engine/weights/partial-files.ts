/**
 * Files under construction beside the file they become: `NAME.HOST-PID-N.partial`. A process that is killed leaves them, and
 * those of a 12 B model are as large as the model.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

const host = os.hostname().replaceAll(/[^\w]/g, '') || 'host';
let count = 0;

export function partialName(file: string): string {
  count += 1;
  return `${file}.${host}-${process.pid}-${count}.partial`;
}

/** Partial files are written at least this often, by layers. */
const longestPause = 10 * 60_000;

/**
 * Deletes the partial files of a folder that nobody writes any more: those of processes of this machine that ended, and those of
 * other machines, or of a process whose number was given again, that have not grown for ten minutes.
 */
export function removeAbandoned(folder: string): void {
  for (const name of fs.readdirSync(folder)) {
    if (!name.endsWith('.partial')) continue;
    const file = path.join(folder, name);
    const stat = fs.statSync(file, { throwIfNoEntry: false });
    if (!stat) continue;
    // Older versions wrote `NAME.PID.partial`.
    const [, machine, pid] = name.match(/\.(?:(\w+)-)?(\d+)(?:-\d+)?\.partial$/) ?? [];
    const isOurs = pid !== undefined && (machine ?? host) === host;
    const isOld = Date.now() - stat.mtimeMs > longestPause;
    if (isOld || (isOurs && !isRunning(Number(pid)))) fs.rmSync(file, { force: true });
  }
}

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}
