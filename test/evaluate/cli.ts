/**
 * `npm run evaluate [-- --set people --scenes DIR --steps 8,28 --guidance 2.5 --threads N --limit N --only KIND --json FILE
 * --pictures DIR --adapters]`; with `--adapters` the instructions are given with the LoRA and the IP-Adapter that come with
 * the model. The set `people` has instructions as people speak; `--scenes` takes another set of either sort.
 */
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';
import { machine, type Row, round, table } from '../../bench/measure.ts';
import { decodeImage } from '../../src/engine/image/image-codec.ts';
import { EngineHost } from '../../src/engine/process/host.ts';
import { ModelStore } from '../../src/store/models.ts';
import { type AdapterCase, moodCases, neonCases } from './adapters.ts';
import { judge } from './judge.ts';
import { planOf } from './plan.ts';
import { reach, summarise, type Trial } from './reach.ts';
import { Scenes } from './scenes.ts';

const { values } = parseArgs({
  options: {
    set: { type: 'string', default: 'scenes' },
    scenes: { type: 'string' },
    guidance: { type: 'string', default: '2.5' },
    steps: { type: 'string', default: '8,28' },
    threads: { type: 'string' },
    limit: { type: 'string' },
    only: { type: 'string' },
    json: { type: 'string' },
    pictures: { type: 'string' },
    adapters: { type: 'boolean', default: false },
  },
});
const shipped = fileURLToPath(new URL(`../data/${values.set}`, import.meta.url));
const guidance = Number(values.guidance);
const scenes = await Scenes.read(values.scenes ?? shipped);
const threads = Number(values.threads ?? os.availableParallelism());
const limit = Number(values.limit ?? Number.POSITIVE_INFINITY);
const seen: Record<string, number> = {};
const all: AdapterCase[] = values.adapters ? [...neonCases(scenes), ...moodCases(scenes)] : scenes.cases;
const cases = all.filter(({ kind }) => {
  seen[kind] = (seen[kind] ?? 0) + 1;
  return seen[kind] <= limit && (values.only ?? kind) === kind;
});

const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-evaluate-'));
const store = await ModelStore.scan({ models: folder, cache: folder });
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
    scenes: values.scenes ?? `test/data/${values.set}`,
    guidance,
    rows,
    short,
    trials,
  };
  fs.writeFileSync(values.json, `${JSON.stringify(report, null, 2)}\n`);
}
process.exitCode = short.length > 0 ? 1 : 0;

async function attempt(task: AdapterCase, steps: number): Promise<Trial> {
  const before = task.before ? scenes.render(task.before, task) : undefined;
  const plan = { ...(await planOf(task, steps, before, { scenes, store })), guidance };
  let warned = false;
  for await (const event of host.run(plan)) {
    if (event.type === 'warning') warned ||= event.code === 'instructionUnknown';
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
      edge: verdict.edge === undefined ? undefined : round(verdict.edge, 2),
      warned,
    };
  }
  throw new Error(`The engine gave no picture for '${task.prompt}'.`);
}
