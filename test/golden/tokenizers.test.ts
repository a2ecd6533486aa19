import { readFileSync } from 'node:fs';
import path from 'node:path';
import { describe, expect, test } from 'vitest';
import { loadTokenizer } from '../../src/engine/text/tokenizer.ts';

/** Made by test/data/tokenizers/make.py; `make.py --keep` after the embedded model got other tokenizers. */
type Expected = {
  sets: Record<string, { folder: string; length: number }>;
  prompts: ({ prompt: string } & Record<string, number[]>)[];
};
const root = path.join(import.meta.dirname, '../..');
const expected: Expected = JSON.parse(
  readFileSync(path.join(root, 'test/data/tokenizers/expected.json'), 'utf8'),
);

test('there are at least two hundred prompts', () => {
  expect(expected.prompts.length).toBeGreaterThanOrEqual(200);
});

describe.each(Object.entries(expected.sets))('the tokenizer %s', async (name, { folder, length }) => {
  const tokenizer = await loadTokenizer(path.join(root, folder));
  const pad = (ids: number[]) => Array.from({ length }, (_, i) => ids[i] ?? tokenizer.padId);

  test('gives the ids of transformers for every prompt', () => {
    const wrong = expected.prompts.flatMap(({ prompt, [name]: ids }) => {
      const found = [...tokenizer.encode(prompt, length)];
      return found.join() === pad(ids!).join() ? [] : [{ prompt, found, expected: ids }];
    });
    expect(wrong).toEqual([]);
  });

  test('keeps the end of a prompt that is cut', () => {
    const ids = tokenizer.encode('a cat and a dog '.repeat(200), 16);
    expect(ids).toHaveLength(16);
    expect(ids.at(-1)).toBe(tokenizer.endId);
  });
});
