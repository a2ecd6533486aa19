import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { expect, test } from 'vitest';
import { loadTokenizer } from '../../src/engine/text/tokenizer.ts';

const data = path.join(import.meta.dirname, '../data/tokenizers');
const folder = () => mkdtemp(path.join(tmpdir(), 'retouch-tokenizer-'));

test('CLIP pads with its end, T5 with zero, each as long as asked', async () => {
  const clip = await loadTokenizer(path.join(data, 'clip'));
  const t5 = await loadTokenizer(path.join(data, 't5'));
  expect(clip.padId).toBe(clip.endId);
  expect(clip.maxLength).toBe(77);
  expect([t5.padId, t5.endId, t5.maxLength]).toEqual([0, 1, 512]);
  const ids = clip.encode('', 5);
  expect([...ids.subarray(1)]).toEqual([clip.endId, clip.endId, clip.endId, clip.endId]);
  expect([...t5.encode('', 4)]).toEqual([1, 0, 0, 0]);
});

test('a prompt is counted with its begin and end, whatever the window', async () => {
  const clip = await loadTokenizer(path.join(data, 'clip'));
  const t5 = await loadTokenizer(path.join(data, 't5'));
  expect([clip.count(''), t5.count('')]).toEqual([2, 1]);
  const long = 'a cat '.repeat(200);
  const ids = clip.encode(long, 1000);
  expect(clip.count(long)).toBe(ids.indexOf(clip.endId) + 1);
  expect(t5.count(long)).toBe(t5.encode(long, 2000).indexOf(t5.endId) + 1);
});

test('parentheses and weights are plain text', async () => {
  const clip = await loadTokenizer(path.join(data, 'clip'));
  expect([...clip.encode('(a cat:1.2)', 77)]).not.toEqual([...clip.encode('a cat', 77)]);
});

test('a folder without a tokenizer is an error that names what is missing', async () => {
  const empty = await folder();
  await expect(loadTokenizer(empty)).rejects.toMatchObject({
    code: 'modelFileMissing',
    message: `${empty} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt.`,
  });
});

test('a tokenizer.json that is not JSON is an error that names the file', async () => {
  const broken = await folder();
  await writeFile(path.join(broken, 'tokenizer.json'), '{"model": ');
  await expect(loadTokenizer(broken)).rejects.toMatchObject({
    code: 'modelConfigInvalid',
    message: expect.stringContaining(path.join(broken, 'tokenizer.json')),
  });
});

test('a tokenizer.json that is no tokenizer is an error that names the folder', async () => {
  const other = await folder();
  await writeFile(path.join(other, 'tokenizer.json'), '{"version": "1.0"}');
  await expect(loadTokenizer(other)).rejects.toMatchObject({
    code: 'modelConfigInvalid',
    message: expect.stringContaining(other),
  });
});
