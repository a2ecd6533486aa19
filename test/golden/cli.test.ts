import { spawnSync } from 'node:child_process';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { goldenFile } from './data.ts';

const scratch = fs.mkdtempSync(path.join(os.tmpdir(), 'retouch-golden-'));
afterAll(() => fs.rmSync(scratch, { recursive: true }));

function run(...args: string[]) {
  return spawnSync(process.execPath, [path.join(import.meta.dirname, 'cli.ts'), ...args], {
    encoding: 'utf8',
  });
}

function folderOf(...names: string[]): string {
  const folder = fs.mkdtempSync(path.join(scratch, 'folder-'));
  for (const name of names) fs.copyFileSync(goldenFile(name), path.join(folder, name));
  return folder;
}

test('a folder that agrees passes with a line for every tensor and a count', () => {
  const { status, stdout } = run(
    folderOf('clip_tiny.safetensors', 'clip_tiny_io.safetensors', 'noise.safetensors'),
  );
  expect(stdout).toMatch(/^PASS {2}clip_tiny pooler_output {2}max abs \S+ {2}relative L2 \S+/m);
  expect(stdout).toMatch(/^SKIP {2}transformer: the folder has no such weights/m);
  expect(stdout).toMatch(/\n\d+ passed, 0 failed, \d+ skipped\n$/);
  expect(status).toBe(0);
});

test('one wrong weight fails', () => {
  const folder = folderOf('clip_tiny.safetensors', 'clip_tiny_io.safetensors');
  const file = path.join(folder, 'clip_tiny.safetensors');
  const bytes = fs.readFileSync(file);
  bytes.writeFloatLE(3, bytes.length - 4);
  fs.writeFileSync(file, bytes);
  const { status, stdout } = run(folder);
  expect(stdout).toMatch(/^FAIL {2}clip_tiny/m);
  expect(status).toBe(1);
});

test('a folder without anything to compare fails', () => {
  const { status, stdout } = run(folderOf());
  expect(stdout).toContain('0 passed, 0 failed');
  expect(status).toBe(1);
});

test('a folder that is not there is named', () => {
  const { status, stderr } = run('/nowhere');
  expect(stderr).toContain('/nowhere');
  expect(status).toBe(2);
});
