/**
 * Follows "Adding things" of docs/architecture.md in a copy of the sources: with the file and the line of every row of
 * its table, and nothing else, the copy compiles. test/data/recipes has the files.
 */

import { execFile } from 'node:child_process';
import { cp, mkdtemp, readdir, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, dirname, join, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, it, vi } from 'vitest';
import { f32, writeSafetensors } from '../fixtures/write-safetensors.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const root = fileURLToPath(new URL('../..', import.meta.url));
const recipes = fileURLToPath(new URL('../data/recipes', import.meta.url));

/** `what | file | line in the table of file`, from the documentation. */
type Recipe = { what: string; file: string; line: string; table: string; tableFile: string };

const page = await readFile(join(root, 'docs', 'architecture.md'), 'utf8');
const row = /^\| ([^|]+) \| `(src\/[^`]+)` \| `([^`]+)` in `(\w+)` of `([^`]+)` \|$/gm;
const documented: Recipe[] = [...page.matchAll(row)].map(([, what, file, line, table, tableFile]) => ({
  what: what!,
  file: file!,
  line: line!,
  table: table!,
  tableFile: tableFile!,
}));

let copy: string;

beforeAll(async () => {
  copy = await mkdtemp(join(tmpdir(), 'retouch-recipes-'));
  const isCode = (path: string) =>
    ![join('test', 'data'), join('web', 'dist')].some((folder) => relative(root, path).startsWith(folder));
  for (const name of ['src', 'test', 'bench', 'scripts', 'web', 'package.json', 'tsconfig.json'])
    await cp(join(root, name), join(copy, name), { recursive: true, filter: isCode });
  await symlink(join(root, 'node_modules'), join(copy, 'node_modules'));
});

afterAll(() => rm(copy, { recursive: true, force: true }));

it('the documentation has a recipe for every file of test/data/recipes', async () => {
  const entries = await readdir(recipes, { recursive: true, withFileTypes: true });
  const files = entries
    .filter((entry) => entry.isFile())
    .map((entry) => relative(recipes, join(entry.parentPath, entry.name)));
  expect(documented.map(({ file }) => file).toSorted()).toEqual(files.toSorted());
});

it('the copy compiles after every recipe', async () => {
  for (const recipe of documented) await follow(recipe);
  expect(await compile()).toBe('');
});

it('the copy reads a checkpoint in the added weight dialect', async () => {
  writeSafetensors(join(copy, 'dialect.safetensors'), {
    'text_encoder_2.shared.weight': f32([1, 2, 3, 4, 5, 6], [2, 3]),
  });
  const program = `
    import { openCheckpoint } from './src/engine/weights/checkpoint.ts';
    import { t5Dialects } from './src/engine/weights/dialects/t5.ts';
    import { WeightSource } from './src/engine/weights/source.ts';
    const source = new WeightSource(openCheckpoint('dialect.safetensors'), t5Dialects);
    console.log(source.dialect.name, ...source.floats('shared.weight'));
  `;
  const words = ['--input-type=module-typescript', '--eval', program];
  const { stdout } = await promisify(execFile)(process.execPath, words, { cwd: copy });
  expect(stdout.trim()).toBe('numbered 1 2 3 4 5 6');
});

it('the copy does not compile without a line that a recipe names', async () => {
  const { file, tableFile, line } = documented.find(({ file }) => file.startsWith('src/tasks/handlers/'))!;
  const path = join(copy, tableFile);
  await writeFile(path, (await readFile(path, 'utf8')).replace(`  ${line}\n`, ''));
  expect(await compile()).toContain(basename(file, '.ts'));
});

async function follow({ file, line, table, tableFile }: Recipe): Promise<void> {
  await cp(join(recipes, file), join(copy, file));
  const name = /^export (?:const|function\*?) (\w+)/m.exec(await readFile(join(recipes, file), 'utf8'))![1]!;
  const path = join(copy, tableFile);
  const text = await readFile(path, 'utf8');
  const from = relative(dirname(tableFile), file);
  const start = new RegExp(`^(?:export )?const ${table}\\b.*[{[]\n`, 'm').exec(text);
  if (!start) throw new Error(`${tableFile} has no table ${table}`);
  const end = start.index + start[0].length;
  const imported = `import { ${name} } from '${from.startsWith('.') ? from : `./${from}`}';\n`;
  await writeFile(path, `${imported}${text.slice(0, end)}  ${line}\n${text.slice(end)}`);
}

/** The compiler's output. */
async function compile(): Promise<string> {
  const words = [join(root, 'node_modules', 'typescript', 'bin', 'tsc'), '--noEmit', '-p', copy];
  const run = promisify(execFile)(process.execPath, words, { cwd: copy });
  return (await run.catch((error: { stdout: string }) => error)).stdout;
}
