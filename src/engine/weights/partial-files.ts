/**
 * Temporary files that are renamed when they are complete: `NAME.HOST-PID-N.partial`. A killed process leaves them behind,
 * and those of a 12 B model are as large as the model.
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
 * Deletes the abandoned partial files of a folder: those whose process on this machine has ended, and those that have not
 * grown for ten minutes, since another machine's process cannot be checked and a process id may be reused.
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
