import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
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

test.each([
  ['clip', ['vocab.json', 'merges.txt', 'tokenizer_config.json']],
  ['t5', ['tokenizer.json', 'tokenizer_config.json']],
])(
  'the files of %s with carriage returns and byte order marks are the same tokenizer',
  async (name, files) => {
    const own = await folder();
    await cp(path.join(data, name), own, { recursive: true });
    for (const file of files) {
      const text = await readFile(path.join(own, file), 'utf8');
      await writeFile(path.join(own, file), `\uFEFF${text.replaceAll('\n', '\r\n')}`);
    }
    const [expected, found] = [await loadTokenizer(path.join(data, name)), await loadTokenizer(own)];
    for (const prompt of ['turn the red car blue', 'A  café, 12 cats!'])
      expect([...found.encode(prompt, 16)]).toEqual([...expected.encode(prompt, 16)]);
  },
);

test.each(['clip', 't5'])(
  'special tokens of %s may be named in special_tokens_map.json alone',
  async (name) => {
    const own = await folder();
    await cp(path.join(data, name), own, { recursive: true });
    const config = JSON.parse(await readFile(path.join(own, 'tokenizer_config.json'), 'utf8'));
    const tokens = Object.entries(config).filter(([key]) => /_token$/.test(key));
    await writeFile(path.join(own, 'special_tokens_map.json'), JSON.stringify(Object.fromEntries(tokens)));
    await rm(path.join(own, 'tokenizer_config.json'));
    const [expected, found] = [await loadTokenizer(path.join(data, name)), await loadTokenizer(own)];
    const prompt = 'Turn the red car blue';
    expect([...found.encode(prompt, 16)]).toEqual([...expected.encode(prompt, 16)]);
  },
);
