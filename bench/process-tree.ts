/** Memory and processor time of a process and its descendants, as Linux tells them. */
import fs from 'node:fs';

/** Kernel ticks of processor time in a second: fixed at 100 in what Linux shows to programs. */
const ticksPerSecond = 100;

export type Usage = {
  /** Bytes that the kernel cannot take back; memory that processes share is divided between them. */
  memory: number;
  /** Bytes of files: programs, and weights that are read where they lie. */
  mapped: number;
  /** Seconds of all processors since each process began; of those that still run. */
  processor: number;
};

/** Usage of the descendants of a process, and of itself unless `own` is false. */
export function usageOf(root: number, own = true): Usage {
  const parents = new Map<number, number>();
  for (const name of fs.readdirSync('/proc')) {
    const stat = /^\d+$/.test(name) ? statOf(Number(name)) : undefined;
    if (stat) parents.set(Number(name), stat.parent);
  }
  const isBelow = (pid: number): boolean => {
    const parent = parents.get(pid);
    return parent !== undefined && (parent === root || isBelow(parent));
  };
  const pids = [...parents.keys()].filter((pid) => (pid === root ? own : isBelow(pid)));
  return pids.reduce<Usage>(
    (sum, pid) => {
      const rollup = read(`/proc/${pid}/smaps_rollup`) ?? '';
      return {
        memory: sum.memory + bytesOf(rollup, 'Pss_Anon') + bytesOf(rollup, 'Pss_Shmem'),
        mapped: sum.mapped + bytesOf(rollup, 'Pss_File'),
        processor: sum.processor + (statOf(pid)?.processor ?? 0),
      };
    },
    { memory: 0, mapped: 0, processor: 0 },
  );
}

/** Undefined when the process has ended meanwhile. */
function statOf(pid: number): { parent: number; processor: number } | undefined {
  const text = read(`/proc/${pid}/stat`);
  if (text === undefined) return undefined;
  // The name in parentheses may have spaces; state, parent, … follow it.
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return {
    parent: Number(fields[1]),
    processor: (Number(fields[11]) + Number(fields[12])) / ticksPerSecond,
  };
}

function bytesOf(rollup: string, name: string): number {
  return 1024 * Number(rollup.match(new RegExp(`^${name}:\\s+(\\d+) kB`, 'm'))?.[1] ?? 0);
}

function read(file: string): string | undefined {
  try {
    return fs.readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
}
