/** Clients learn the names of files, and no folder of this machine. */

import { mkdtempSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { EngineError } from '../../src/engine/errors.ts';
import { PrivatePaths } from '../../src/tasks/private-paths.ts';

const unknown = new PrivatePaths(() => []);

describe('a message without known folders', () => {
  it.each([
    ['written to /data/retouch.db: the disk is full.', 'written to retouch.db: the disk is full.'],
    ['/srv/m/vae/model.safetensors has 0 bytes', 'vae/model.safetensors has 0 bytes'],
    ["The LoRA 'C:\\models\\ink.safetensors' is odd.", "The LoRA 'ink.safetensors' is odd."],
    // Spaces, in folders and names.
    ['/srv/my models/a b/flux.safetensors is cut off.', 'flux.safetensors is cut off.'],
    ["open '/srv/a b/my file.safetensors'", "open 'my file.safetensors'"],
    [
      'cannot read /Users/Ann Lee/Library/Application Support/x/config.json: EACCES',
      'cannot read config.json: EACCES',
    ],
    ['/srv/a b/vae/model.safetensors and /srv/c d/e.gguf', 'vae/model.safetensors and e.gguf'],
    // Windows.
    ['C:\\Program Files (x86)\\Retouch\\vae\\ink.safetensors is odd', 'vae/ink.safetensors is odd'],
    ['D:/models/a b/ink.safetensors is odd', 'ink.safetensors is odd'],
    ['\\\\server\\share\\my models\\ink.gguf is odd', 'ink.gguf is odd'],
    // URLs of files.
    ['at file:///srv/a%20b/src/store/db.ts:59:49', 'at db.ts:59:49'],
    ['file:///C:/Users/Ann%20Lee/x.onnx failed', 'x.onnx failed'],
    // Other scripts, and unusual characters.
    ['/srv/模型/flux.safetensors, (/opt/x-y/z.bin)', 'flux.safetensors, (z.bin)'],
    ['reason:/srv/models/x.bin', 'reason:x.bin'],
    ['the folder /srv/models/kontext/ is empty', 'the folder kontext is empty'],
  ])('%j', (message, expected) => expect(unknown.hide(message)).toBe(expected));

  it.each([
    'tasks go to POST /v1',
    'https://example.com/a/b.png answered 404.',
    'The host of https://example.com/a%20b/c.png?d=/e/f refused.',
    'expected image/png at 16/32 or 3 / 4',
    'x.safetensors has 16/32 channels of 3072 and 1/2',
    'black-forest-labs/FLUX.1-Kontext-dev needs a token',
    'tensor double_blocks.0.img_mod.lin.weight is I8; this build reads F32, F16',
    'and/or, n/a, TCP/IP',
    '',
  ])('keeps %j', (message) => expect(unknown.hide(message)).toBe(message));
});

describe('a message with known folders', () => {
  const paths = new PrivatePaths(() => [
    '/srv/my data',
    '/srv/my data/models, all/',
    '/home/ann',
    '/',
    'C:\\Users\\Ann Lee',
  ]);

  it.each([
    ['The data directory /srv/my data cannot be used.', 'The data directory my data cannot be used.'],
    [
      '/srv/my data/models, all/it is: odd/flux.safetensors is cut off',
      'it is: odd/flux.safetensors is cut off',
    ],
    ['/srv/my data/models, all/kontext/vae/a.json is cut off', 'vae/a.json is cut off'],
    ['at file:///srv/my%20data/models,%20all/x/y.ts:1', 'at y.ts:1'],
    ['/home/anna/x.json', 'x.json'],
    ['/home/ann', 'ann'],
    ['C:\\Users\\Ann Lee\\retouch.db: EBUSY', 'retouch.db: EBUSY'],
    ['/mnt/srv/my data/x.bin', 'x.bin'],
  ])('%j', (message, expected) => expect(paths.hide(message)).toBe(expected));
});

describe('the paths that an error names in its details', () => {
  it('are cut whatever signs their names hold', () => {
    const path = '/mnt/x: "new", (2)/it\'s/vae/weights 1.safetensors';
    const other = '/mnt/x, y/z';
    const { message, details } = new EngineError(
      'checkpointInvalid',
      `${path} is damaged, and so is ${other}/q.bin.`,
      { path, more: [{ folder: other }] },
    );
    expect(unknown.hide(message, details)).toBe('vae/weights 1.safetensors is damaged, and so is q.bin.');
  });
});

describe('a folder behind a link', () => {
  let folder: string;
  beforeAll(() => {
    folder = realpathSync(mkdtempSync(join(tmpdir(), 'retouch paths, ')));
    symlinkSync(folder, `${folder} link`);
  });
  afterAll(() => {
    rmSync(`${folder} link`);
    rmSync(folder, { recursive: true });
  });

  it('is cut by either of its paths', () => {
    const paths = new PrivatePaths(() => [`${folder} link`]);
    expect(paths.hide(`${folder}/x.bin and ${folder} link/y.bin`)).toBe('x.bin and y.bin');
  });
});
