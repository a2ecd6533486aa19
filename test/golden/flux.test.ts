import { describe, expect, test } from 'vitest';
import { type Compared, type Line, weightFiles } from './checks/check.ts';
import { checkFlux } from './checks/flux.ts';
import { goldenFile } from './data.ts';
import { block, loop } from './tolerance.ts';

const files = weightFiles(goldenFile('')).filter(({ label }) => label.startsWith('flux_tiny'));

async function linesOf(label: string, fused: boolean): Promise<Line[]> {
  const { file, io } = files.find((candidate) => candidate.label === label)!;
  const lines: Line[] = [];
  for await (const line of checkFlux(file, io, label, { block, loop }, { device: 'cpu', fused }))
    lines.push(line);
  return lines;
}

describe.each(['flux_tiny', 'flux_tiny.diffusers'])('the transformer of %s', (label) => {
  test.each([true, false])(
    'every activation, output and loop is the reference, fused kernels %s',
    async (fused) => {
      const lines = await linesOf(label, fused);
      for (const line of lines) expect(line).toMatchObject({ pass: true });
      const names = lines.map((line) => line.name);
      for (const made of ['t2i', 'ref', 'ref2_offset', 'ref2_index'])
        for (const part of ['act.time_in', 'act.pe', 'act.double.1.txt', 'act.single.2', 'act.final', 'out'])
          expect(names).toContain(`${label} ${made}.${part}`);
      for (const run of ['loop.out', 'loop.true_cfg4.out', 'inpaint.out', 'ref.out_all_f32_roundedt'])
        expect(names).toContain(`${label} ${run}`);
    },
  );
});

test('a bf16 file is read as the rounded weights it holds', async () => {
  const lines = await linesOf('flux_tiny.bf16', true);
  expect(lines.map((line) => (line as Compared).pass)).toEqual([true]);
});
