import { readdirSync, readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { exportedFunctions } from './fixtures/signatures.ts';
import { type Import, readImports, readSources, type SourceFile } from './fixtures/source-files.ts';

const sources = readSources();
const files = [...sources.values()];
const isUnder = (path: string, folder: string) => path === folder || path.startsWith(`${folder}/`);

/** `a.ts imports b.ts`, for every import that a rule forbids. */
function offences(within: string, forbids: (target: string, imported: Import) => boolean): string[] {
  return files
    .filter(({ path }) => isUnder(path, within))
    .flatMap((file) =>
      file.imports
        .filter((imported) => forbids(imported.target, imported))
        .map(({ target }) => `${file.path} imports ${target}`),
    );
}

function ownOutside(allowed: readonly string[]) {
  return (target: string, { own }: Import) => own && !allowed.some((folder) => isUnder(target, folder));
}

it('every form of import is seen, and none in a comment', () => {
  const text = `
    import a from './a.ts';
    import { b, type B } from '../b.ts';
    import {
      c,
    } from './c/c.ts';
    import type { D } from './d.ts';
    import { type E } from './e.ts';
    export * from './f.ts';
    export { g } from './g.ts';
    import './h.ts';
    const i = await import('./i.ts');
    import * as j from 'node:fs';
    // import k from './k.ts';
    /* import l from './l.ts'; */
  `;
  const seen = readImports('x/y.ts', text).map(({ target, own, typeOnly, dynamic }) =>
    [target, own ? 'own' : '', typeOnly ? 'type' : '', dynamic ? 'dynamic' : ''].filter(Boolean).join(' '),
  );
  expect(seen).toEqual([
    'x/a.ts own',
    'b.ts own',
    'x/c/c.ts own',
    'x/d.ts own type',
    'x/e.ts own type',
    'x/f.ts own',
    'x/g.ts own',
    'x/h.ts own',
    'node:fs',
    'x/i.ts own dynamic',
  ]);
});

it('every import of a file of ours names a file that exists', () => {
  const missing = files.flatMap(({ path, imports }) =>
    imports
      .filter(({ own, target }) => own && !sources.has(target))
      .map(({ target }) => `${path} → ${target}`),
  );
  expect(missing).toEqual([]);
});

describe('layers', () => {
  const base = ['error.ts', 'bytes.ts', 'nearest.ts', 'back-off.ts'];
  const leaves = ['api', 'engine', 'fleet', 'queue', 'store', 'net'];
  const may: Readonly<Record<string, readonly string[]>> = {
    cli: [
      ...base,
      ...leaves,
      'log.ts',
      'config.ts',
      'metrics.ts',
      'version.ts',
      'child-environment.ts',
      'program-beside.ts',
      'tasks',
      'server',
      'mcp',
      'cli',
    ],
    'index.ts': ['engine/index.ts', 'server/index.ts'],
    mcp: [...base, ...leaves, 'log.ts', 'config.ts', 'tasks', 'server', 'mcp'],
    server: [...base, ...leaves, 'log.ts', 'config.ts', 'metrics.ts', 'version.ts', 'tasks', 'server'],
    tasks: [...base, ...leaves, 'log.ts', 'metrics.ts', 'tasks'],
    api: [...base, 'api'],
    engine: ['error.ts', 'bytes.ts', 'back-off.ts', 'child-environment.ts', 'program-beside.ts', 'engine'],
    fleet: [...base, 'log.ts', 'fleet', 'engine', 'store/models.ts'],
    queue: [...base, 'queue', 'store/db.ts'],
    store: [...base, 'store', 'net'],
    net: [...base, 'net'],
    'config.ts': [...base, 'log.ts', 'fleet/redis-url.ts'],
    'log.ts': [],
    'metrics.ts': base,
    'bytes.ts': [],
    'nearest.ts': [],
    'version.ts': [],
    'back-off.ts': [],
    'child-environment.ts': [],
    'program-beside.ts': [],
    'error.ts': [],
  };

  it('cover every file', () => {
    const outside = files
      .map(({ path }) => path)
      .filter((path) => !Object.keys(may).some((name) => isUnder(path, name)));
    expect(outside).toEqual([]);
  });

  it.each(Object.entries(may))('%s imports only what is below it', (layer, allowed) => {
    expect(offences(layer, ownOutside(allowed))).toEqual([]);
  });

  it('the API is pure: it imports no module of Node that reads, writes or listens', () => {
    const pure = ['node:buffer', 'node:util', 'node:assert'];
    expect(
      offences('api', (target, { own, typeOnly }) => !own && !typeOnly && !pure.includes(target)),
    ).toEqual([]);
  });
});

describe('inside the engine', () => {
  /** Files beside the rooms. */
  const floor = ['index.ts', 'engine.ts', 'errors.ts', 'plan.ts', 'warnings.ts'].map(
    (name) => `engine/${name}`,
  );
  const common = [
    'error.ts',
    'bytes.ts',
    'back-off.ts',
    'child-environment.ts',
    'program-beside.ts',
    'engine/errors.ts',
    'engine/warnings.ts',
  ];
  /** Pure arithmetic and data: they know neither networks nor plans. */
  const leaves = ['image', 'text', 'random', 'samplers', 'sigmas', 'caches'];
  const computing = ['onnx', 'weights', 'nn', 'models'];
  const rooms: Readonly<Record<string, readonly string[]>> = {
    image: [],
    text: [],
    random: [],
    samplers: [],
    sigmas: [],
    caches: [],
    latents: ['random'],
    onnx: [],
    weights: ['onnx'],
    nn: ['onnx', 'weights'],
    models: ['onnx', 'weights', 'nn'],
    networks: [...computing, ...leaves, 'latents'],
    faces: [...computing, 'networks', 'image'],
    safety: [...computing, 'networks', 'image'],
    adapters: [...computing, 'networks', 'image'],
    pipeline: [...leaves, 'latents', ...computing, 'networks', 'faces', 'safety', 'adapters'],
    forecast: [...computing, ...leaves, 'networks'],
    process: [],
  };

  it('every file is in a room, or one of the few that all rooms share', () => {
    const strays = files
      .map(({ path }) => path)
      .filter((path) => isUnder(path, 'engine') && !floor.includes(path))
      .filter((path) => !Object.keys(rooms).some((room) => isUnder(path, `engine/${room}`)));
    expect(strays).toEqual([]);
  });

  it.each(Object.entries(rooms))('%s imports only what is below it, types included', (room, below) => {
    const shared = ['pipeline', 'process', 'forecast'].includes(room)
      ? ['engine/plan.ts', 'engine/engine.ts']
      : [];
    const allowed = [...common, ...shared, ...[room, ...below].map((name) => `engine/${name}`)];
    const exempt = (path: string) => path === 'engine/process/child.ts';
    const found = offences(`engine/${room}`, ownOutside(allowed)).filter(
      (offence) => !exempt(offence.split(' ')[0]!),
    );
    expect(found).toEqual([]);
  });

  it('the process reaches the pipeline in the child alone, when the first plan comes', () => {
    const child = sources.get('engine/process/child.ts')!;
    const reached = child.imports.filter(({ target }) => !isUnder(target, 'engine/process'));
    expect(reached).toMatchObject([{ target: 'engine/pipeline/kontext.ts', dynamic: true }]);
  });

  it('the names of the inputs that LoRAs feed are spelled in one file', () => {
    // In quotation marks, after a dot or a template's brace: the trainers' own `lora_A` is a name of theirs.
    const spelled = /(?:\}\.|['"`.])(?:lora_(?:a|b|from|to)(?:_|['"`])|kronecker_)/;
    const found = files.filter(({ path, text }) => isUnder(path, 'engine') && spelled.test(text));
    expect(found.map(({ path }) => path)).toEqual(['engine/nn/lora.ts']);
  });
});

describe('exported functions', () => {
  /** Formulas take their tensors by position, as the papers and the reference implementations do. */
  const formulas = [
    'engine/models',
    'engine/nn',
    'engine/onnx/operators',
    'engine/onnx/self-test/reference.ts',
  ];

  it('are counted in every form', () => {
    const text = `
      export function none(): void {}
      export async function* two<T extends Map<string, number>>(a: T, { b, c }: { b: number; c: () => void }) {}
      export const three = async (a: [number, string], b = f(1, 2), c?: (x: number, y: number) => void) => {};
      export const four = <T>(a: T, b: T, c: T, d: T): T => a;
      export const noFunction = (1 + 2) * 3;
      function hidden(a: 1, b: 2, c: 3, d: 4) {}
    `;
    expect(exportedFunctions(text)).toEqual([
      { name: 'none', parameters: 0 },
      { name: 'two', parameters: 2 },
      { name: 'three', parameters: 3 },
      { name: 'four', parameters: 4 },
    ]);
  });

  it('take at most three positional parameters', () => {
    const found = files
      .filter(({ path }) => !formulas.some((place) => isUnder(path, place)))
      .flatMap(({ path, text }) =>
        exportedFunctions(text)
          .filter(({ parameters }) => parameters > 3)
          .map(({ name, parameters }) => `${path}: ${name} takes ${parameters}`),
      );
    expect(found).toEqual([]);
  });
});

describe('the pages of web/', () => {
  it('import nothing of src/ but the table of schedulers, which is data', () => {
    const root = new URL('../web/src/', import.meta.url);
    const found = readdirSync(root, { recursive: true, encoding: 'utf8' })
      .filter((path) => /\.tsx?$/.test(path))
      .flatMap((path) => {
        const file = `web/src/${path.replaceAll('\\', '/')}`;
        const outside = readImports(file, readFileSync(new URL(path, root), 'utf8')).filter(
          ({ own, target, typeOnly }) => own && !typeOnly && !target.startsWith('web/'),
        );
        return outside.map(({ target }) => `${file} imports ${target}`);
      });
    expect(found).toEqual(['web/src/request/schedulers.ts imports src/api/schedulers.ts']);
  });
});

describe('third-party modules', () => {
  const doors: Readonly<Record<string, readonly string[]>> = {
    'onnxruntime-node': ['engine/onnx/session.ts'],
    sharp: ['engine/image/image-codec.ts'],
    '@huggingface/tokenizers': ['engine/text/tokenizer.ts'],
    fastify: ['server'],
    pino: ['log.ts'],
    'prom-client': ['metrics.ts'],
    '@modelcontextprotocol/sdk': ['mcp'],
    'node:sqlite': ['store/db.ts', 'queue/sqlite.ts'],
    aws4fetch: ['store/bucket.ts'],
    bullmq: ['fleet/job-queues.ts'],
    ioredis: ['fleet/redis.ts'],
  };

  it('each have one door', () => {
    const trespassers: string[] = [];
    for (const { path, imports } of files) {
      for (const { target, own, typeOnly } of imports) {
        if (own || typeOnly || (target.startsWith('node:') && !(target in doors))) continue;
        const module = target.startsWith('@modelcontextprotocol/sdk/') ? '@modelcontextprotocol/sdk' : target;
        const allowed = doors[module] ?? (target.startsWith('@fastify/') ? ['server'] : []);
        if (!allowed.some((door) => isUnder(path, door))) trespassers.push(`${path} imports ${target}`);
      }
    }
    expect(trespassers).toEqual([]);
  });

  it('the process that serves or draws the terminal never loads the runtime: only the child does', () => {
    for (const entry of [
      'cli/main.ts',
      'cli/commands/serve.ts',
      'cli/commands/edit.ts',
      'cli/commands/doctor.ts',
    ]) {
      const reached = reach(entry, ({ typeOnly, dynamic }) => !typeOnly && !dynamic);
      expect([...reached]).not.toContain('engine/onnx/session.ts');
      expect([...reached]).not.toContain('engine/pipeline/kontext.ts');
    }
  });
});

it('no file imports itself through others', () => {
  const cycles = files.flatMap(({ path, imports }) =>
    imports
      .filter(({ own, dynamic, target }) => own && !dynamic && reach(target, (i) => !i.dynamic).has(path))
      .map(({ target }) => `${path} → ${target} → … → ${path}`),
  );
  expect(cycles).toEqual([]);
});

describe('sizes of files', () => {
  /** Path → why it may have more than 400 lines. */
  const reasons: Readonly<Record<string, string>> = {};

  it('stay within 400 lines, with a median of at most 160', () => {
    const sorted = files.toSorted((a, b) => b.lines - a.lines);
    console.log(formatTable(sorted));
    const long = sorted.filter(({ lines }) => lines > 400).map(({ path }) => path);
    expect(long.filter((path) => !reasons[path])).toEqual([]);
    expect(Object.keys(reasons).filter((path) => !long.includes(path))).toEqual([]);
    expect(sorted[Math.floor(sorted.length / 2)]!.lines).toBeLessThanOrEqual(160);
  });
});

function reach(entry: string, follows: (imported: Import) => boolean): Set<string> {
  const reached = new Set<string>([entry]);
  for (const path of reached) {
    for (const imported of sources.get(path)?.imports ?? []) {
      if (imported.own && follows(imported)) reached.add(imported.target);
    }
  }
  return reached;
}

/** A row per folder, its longest file named. */
function formatTable(longestFirst: readonly SourceFile[]): string {
  const folders = Map.groupBy(longestFirst, ({ path }) => path.split('/').slice(0, -1).join('/') || '.');
  const rows = [...folders]
    .sort(([a], [b]) => a.localeCompare(b))
    .map(([folder, [longest, ...rest]]) => {
      const lines = [longest!, ...rest].map((file) => file.lines);
      const total = lines.reduce((sum, count) => sum + count, 0);
      const median = lines[Math.floor(lines.length / 2)];
      return [folder, lines.length, total, median, longest!.lines, longest!.path.split('/').at(-1)];
    });
  const head = ['folder', 'files', 'lines', 'median', 'longest', ''];
  return [head, ...rows]
    .map(
      ([folder, ...cells]) =>
        String(folder).padEnd(26) + cells.map((cell) => String(cell).padStart(8)).join(' '),
    )
    .join('\n');
}
