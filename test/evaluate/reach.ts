/** The figures of an evaluation, compared with the embedded model's targets. */
import { type Row, round } from '../../bench/measure.ts';
import { median } from './median.ts';

export type Trial = {
  kind: string;
  prompt: string;
  size: string;
  steps: number;
  done: boolean;
  intact: boolean;
  outside: number | undefined;
  edge: number | undefined;
  /** The engine said that it did not recognise an instruction. */
  warned: boolean;
};

/**
 * Per cent of the edits that succeed, of all and of every kind; of pictures from text; of instructions that must change
 * nothing; dB outside the edit and pixels from 10 to 90 % of the edges drawn, medians.
 */
const wanted = { all: 90, kind: 80, create: 85, nothing: 95, outside: 30, edge: 4 };

/** One row for each kind and number of steps, and one for all edits together. */
export function summarise(trials: readonly Trial[]): Row[] {
  const steps = [...new Set(trials.map((trial) => trial.steps))];
  return steps.flatMap((count) => {
    const some = trials.filter((trial) => trial.steps === count);
    const edits = some.filter(({ kind }) => kind !== 'create' && kind !== 'nothing');
    const kinds = [...new Set(some.map(({ kind }) => kind))];
    return [
      ...kinds.map((kind) =>
        row(
          kind,
          count,
          some.filter((trial) => trial.kind === kind),
        ),
      ),
      ...(edits.length > 0 ? [row('all edits', count, edits)] : []),
    ];
  });
}

function row(kind: string, steps: number, trials: readonly Trial[]): Row {
  const share = (is: (trial: Trial) => boolean) => round((100 * trials.filter(is).length) / trials.length, 1);
  const middle = (of: (trial: Trial) => number | undefined) =>
    median(trials.flatMap((trial) => of(trial) ?? [])) ?? '';
  return {
    kind,
    steps,
    cases: trials.length,
    'success %': share(({ done, intact }) => done && intact),
    'done %': share(({ done }) => done),
    'rest intact %': share(({ intact }) => intact),
    'outside dB': middle(({ outside }) => outside),
    'edge px': middle(({ edge }) => edge),
    'warned %': share(({ warned }) => warned),
  };
}

/** A sentence for every figure below its target. */
export function reach(rows: readonly Row[]): string[] {
  return rows.flatMap((row) => {
    const { kind, steps } = row;
    const least =
      kind === 'create' || kind === 'nothing'
        ? wanted[kind]
        : kind === 'all edits'
          ? wanted.all
          : wanted.kind;
    const success = Number(row['success %']);
    const outside = row['outside dB'];
    const edge = row['edge px'];
    return [
      ...(success < least ? [`${kind}, ${steps} steps: ${success} % succeed, ${least} % are wanted.`] : []),
      ...(kind === 'all edits' && outside !== '' && Number(outside) < wanted.outside
        ? [`${kind}, ${steps} steps: ${outside} dB outside the edit, ${wanted.outside} dB are wanted.`]
        : []),
      ...(kind === 'all edits' && edge !== '' && Number(edge) > wanted.edge
        ? [`${kind}, ${steps} steps: edges ${edge} px wide, ${wanted.edge} px are wanted.`]
        : []),
    ];
  });
}
