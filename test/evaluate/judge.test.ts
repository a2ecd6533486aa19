import { fileURLToPath } from 'node:url';
import { beforeAll, describe, expect, it } from 'vitest';
import { preferredSizes } from '../../src/engine/image/sizes.ts';
import { edgeWidths } from './edges.ts';
import { judge } from './judge.ts';
import { reach, summarise } from './reach.ts';
import { type Case, Scenes } from './scenes.ts';

let scenes: Scenes;
let people: Scenes;
beforeAll(async () => {
  scenes = await Scenes.read(fileURLToPath(new URL('../data/scenes', import.meta.url)));
  people = await Scenes.read(fileURLToPath(new URL('../data/people', import.meta.url)));
});

const firstOf = (kind: string) => scenes.cases.find((task) => task.kind === kind)!;
const beforeOf = (task: Case) => scenes.render(task.before!, task);

describe('the scenes of the evaluation', () => {
  it('are at least 200, of every kind and of every size', () => {
    expect(scenes.cases.length).toBeGreaterThanOrEqual(200);
    expect([...new Set(scenes.cases.map(({ kind }) => kind))].sort()).toEqual(
      [
        'add',
        'count',
        'create',
        'ground',
        'move',
        'place',
        'recolor',
        'remove',
        'replace',
        'resize',
        'time',
        'two steps',
      ].sort(),
    );
    const sizes = new Set(scenes.cases.map(({ width, height }) => `${width}×${height}`));
    expect(sizes).toEqual(new Set(preferredSizes.map(({ width, height }) => `${width}×${height}`)));
  });
});

it("people's sentences are at least 200, of every kind, and 60 more ask for nothing", () => {
  const countOf = (kind: string) => people.cases.filter((task) => task.kind === kind).length;
  const kinds = new Set(scenes.cases.map(({ kind }) => kind));
  for (const kind of kinds) expect(countOf(kind)).toBeGreaterThanOrEqual(10);
  expect(people.cases.length - countOf('nothing')).toBeGreaterThanOrEqual(200);
  expect(countOf('nothing')).toBe(60);
  for (const { kind, before, after } of people.cases) if (kind === 'nothing') expect(after).toEqual(before);
});

describe('the judge', () => {
  it.each([
    'recolor',
    'replace',
    'add',
    'remove',
    'move',
    'resize',
    'place',
    'time',
    'ground',
    'count',
    'two steps',
  ])('takes the picture that had to come of "%s", and not the one that was there before', (kind) => {
    const task = firstOf(kind);
    const before = beforeOf(task);
    const truth = scenes.render(task.after, task);
    expect(judge(scenes, task, before, truth)).toMatchObject({ done: true, intact: true });
    expect(judge(scenes, task, before, before).done).toBe(false);
  });

  it('sees a thing damaged that the instruction does not name', () => {
    const task = scenes.cases.find(({ kind, after }) => kind === 'recolor' && after.things.length > 1)!;
    const before = beforeOf(task);
    const stays = task.after.things.find(({ name }) =>
      task.before!.things.some((thing) => thing.name === name),
    )!;
    const others = task.after.things.filter((thing) => thing !== stays);
    const damaged = scenes.render({ ...task.after, things: others }, task);
    expect(judge(scenes, task, before, damaged)).toMatchObject({ done: true, intact: false });
  });

  it('wants a picture of which nothing is asked within 45 dB of the one before', () => {
    const task = people.cases.find(({ kind, before }) => kind === 'nothing' && before!.things.length > 0)!;
    const before = people.render(task.before!, task);
    const noisy = (levels: number) => ({
      ...before,
      data: before.data.map((v, i) => (i % 2 === 0 ? v : v < 128 ? v + levels : v - levels)),
    });
    expect(judge(people, task, before, before)).toMatchObject({ done: true, intact: true });
    // 51 dB and 39 dB
    expect(judge(people, task, before, noisy(1)).done).toBe(true);
    expect(judge(people, task, before, noisy(4)).done).toBe(false);
    const less = people.render({ ...task.after, things: task.after.things.slice(1) }, task);
    expect(judge(people, task, before, less)).toMatchObject({ done: false, intact: false });
  });

  it('wants all of a picture made from text alone', () => {
    const task = firstOf('create');
    const truth = scenes.render(task.after, task);
    expect(judge(scenes, task, undefined, truth).done).toBe(true);
    const empty = scenes.render({ ...task.after, things: task.after.things.slice(1) }, task);
    expect(judge(scenes, task, undefined, empty).done).toBe(false);
  });
});

it('the width of an edge is that of the slope that takes the place of a step', () => {
  const slope = (length: number) => {
    const row = Array.from({ length: 40 }, (_, x) =>
      Math.min(220, Math.max(20, 120 + (200 * (x - 20)) / length)),
    );
    const data = Uint8Array.from({ length: 40 * 3 * 3 }, (_, i) => row[Math.floor(i / 3) % 40]!);
    return { width: 40, height: 3, data };
  };
  const pixels = Array.from({ length: 120 }, (_, i) => i);
  const truth = slope(0.5);
  for (const length of [5, 10]) {
    const widths = edgeWidths(slope(length), truth, pixels);
    expect(widths).toHaveLength(3);
    for (const width of widths) expect(width).toBeCloseTo(0.8 * length, 0);
  }
  expect(edgeWidths(truth, truth, pixels).every((width) => width < 1.7)).toBe(true);
  const flat = { ...truth, data: truth.data.map(() => 90) };
  expect(edgeWidths(flat, truth, pixels)).toEqual([16, 16, 16]);
});

it('figures below what is wanted are named', () => {
  const trial = {
    kind: 'add',
    prompt: '',
    size: '',
    steps: 8,
    done: true,
    intact: true,
    outside: 20,
    edge: 6,
    warned: false,
  };
  const rows = summarise([trial, { ...trial, done: false }]);
  expect(reach(rows)).toEqual([
    'add, 8 steps: 50 % succeed, 80 % are wanted.',
    'all edits, 8 steps: 50 % succeed, 90 % are wanted.',
    'all edits, 8 steps: 20 dB outside the edit, 30 dB are wanted.',
    'all edits, 8 steps: edges 6 px wide, 4 px are wanted.',
  ]);
  expect(reach(summarise([{ ...trial, outside: 31, edge: 2 }]))).toEqual([]);
});
