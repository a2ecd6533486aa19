/** `npm run evaluate [-- --scenes DIR --steps 8,28 --threads N --limit N --only KIND --json FILE --pictures DIR]` */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, type Row, round, table } from '../../bench/measure.ts';
import { EngineHost } from '../../src/engine/host.ts';
import { decodeImage, encodeImage } from '../../src/engine/image.ts';
import { type Plan, plainNumerics, plainPlan } from '../../src/engine/plan.ts';
import { ModelStore } from '../../src/store/models.ts';
import { judge } from './judge.ts';
import { reach, summarise, type Trial } from './reach.ts';
import { type Case, Scenes } from './scenes.ts';

const { values } = parseArgs({
  options: {
    scenes: { type: 'string' },
    steps: { type: 'string', default: '8,28' },
    threads: { type: 'string' },
    limit: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
    pictures: { type: 'string' },
  },
});
const shipped = fileURLToPath(new URL('../data/scenes', import.meta.url));
const scenes = await Scenes.read(values.scenes ?? shipped);
const threads = Number(values.threads ?? os.availableParallelism());
const limit = Number(values.limit ?? Number.POSITIVE_INFINITY);
const seen: Record<string, number> = {};
const cases = scenes.cases.filter(({ kind }) => {
  seen[kind] = (seen[kind] ?? 0) + 1;
  return seen[kind] <= limit && (values.only ?? kind) === kind;
});

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-evaluate-'));
const store = await ModelStore.scan({ models: folder, cache: folder });
const model = store.find('retouch:mini@1')!.source;
const host = new EngineHost({ threads });
const trials: Trial[] = [];
for (const steps of values.steps.split(',').map(Number))
  for (const task of cases) trials.push(await attempt(task, steps));
await host.close();
fs.rmSync(folder, { recursive: true });

const rows: Row[] = summarise(trials);
console.log(table(rows));
const short = reach(rows);
for (const line of short) console.log(line);
if (values.json) {
  const report = {
    machine: machine(threads),
    scenes: values.scenes ?? 'test/data/scenes',
    rows,
    short,
    trials,
  };
  fs.writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
process.exitCode = short.length > 0 ? 1 : 0;

async function attempt(task: Case, steps: number): Promise<Trial> {
  const before = task.before ? scenes.render(task.before, task) : undefined;
  const references = before ? [(await encodeImage(before, 'png', 100)).bytes] : [];
  const plan: Plan = {
    ...plainPlan,
    model,
    prompt: task.prompt,
    references,
    width: task.width,
    height: task.height,
    seed: BigInt(task.seed),
    steps,
    guidance: 2.5,
    numerics: { ...plainNumerics, precision: 'auto' },
    output: { format: 'png', quality: 100 },
  };
  for await (const event of host.run(plan)) {
    if (event.type !== 'image') continue;
    const verdict = judge(scenes, task, before, await decodeImage(event.image.bytes));
    const { kind, prompt, width, height } = task;
    const outside = verdict.outside === undefined ? undefined : round(verdict.outside, 2);
    if (values.pictures) {
      fs.mkdirSync(values.pictures, { recursive: true });
      const name = `${kind}-${task.seed}-${steps}${verdict.done && verdict.intact ? '' : '-failed'}.png`;
      fs.writeFileSync(path.join(values.pictures, name), event.image.bytes);
    }
    return {
      kind,
      prompt,
      size: `${width}×${height}`,
      steps,
      done: verdict.done,
      intact: verdict.intact,
      outside,
    };
  }
  throw new Error(`The engine gave no picture for '${task.prompt}'.`);
}
