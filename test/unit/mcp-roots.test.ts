import { execFileSync } from 'node:child_process';
import { mkdir, mkdtemp, readFile, realpath, rm, symlink, truncate, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { putFilesIn, takeFilesOut } from '../../src/mcp/files.ts';
import { Roots } from '../../src/mcp/roots.ts';

let folder: string;
let root: string;
let roots: Roots;

beforeEach(async () => {
  folder = await realpath(await mkdtemp(join(tmpdir(), 'retouch-roots-')));
  root = join(folder, 'allowed');
  await mkdir(join(root, 'below'), { recursive: true });
  await writeFile(join(folder, 'secret.png'), 'secret');
  await writeFile(join(root, 'photo.png'), 'photo');
  await writeFile(join(root, 'below', 'deep.png'), 'deep');
  await mkdir(join(folder, 'allowed-not'));
  await writeFile(join(folder, 'allowed-not', 'near.png'), 'near');
  roots = new Roots([root]);
});

afterEach(() => rm(folder, { recursive: true }));

const refused = { code: 'pathRefused', message: expect.stringContaining('outside the allowed folders') };

describe('reading', () => {
  it.each(['photo.png', './photo.png', 'below/../photo.png', 'below/deep.png'])('takes %s', async (path) => {
    await expect(roots.read(path)).resolves.toBeInstanceOf(Buffer);
    await expect(roots.read(join(root, path))).resolves.toBeInstanceOf(Buffer);
  });

  it.each([
    '../secret.png',
    'below/../../secret.png',
    '../allowed-not/near.png',
    '/etc/passwd',
    '../there-is-no-such-file.png',
    'photo.png\0/../../secret.png',
  ])('refuses %j, whether it is there or not', async (path) => {
    await expect(roots.read(path)).rejects.toMatchObject(refused);
  });

  it('refuses links out of the folder: to a file, to a folder, and in steps', async () => {
    await symlink(join(folder, 'secret.png'), join(root, 'file.png'));
    await symlink('..', join(root, 'up'));
    await symlink('up/secret.png', join(root, 'below', 'steps.png'));
    await symlink(join(root, 'file.png'), join(root, 'twice.png'));
    for (const path of ['file.png', 'up/secret.png', 'twice.png'])
      await expect(roots.read(path), path).rejects.toMatchObject(refused);
    await expect(roots.read('below/steps.png')).rejects.toThrow();
  });

  it('follows links that stay inside, and a root that is a link itself', async () => {
    await symlink('below/deep.png', join(root, 'inside.png'));
    expect(String(await roots.read('inside.png'))).toBe('deep');
    await symlink(root, join(folder, 'link'));
    expect(String(await new Roots([join(folder, 'link')]).read('photo.png'))).toBe('photo');
  });

  it('refuses folders, pipes and files that are too large, without waiting for any', async () => {
    execFileSync('mkfifo', [join(root, 'pipe.png')]);
    await writeFile(join(root, 'large.png'), '');
    await truncate(join(root, 'large.png'), 33 * 2 ** 20);
    for (const path of ['below', 'pipe.png', 'large.png', 'missing.png'])
      await expect(roots.read(path), path).rejects.toMatchObject({ code: 'fileUnreadable' });
  });

  it('refuses every path without a folder, and says what to do', async () => {
    await expect(new Roots([]).read(join(root, 'photo.png'))).rejects.toThrow(/--root FOLDER/);
  });

  it('looks into the folders in their order', async () => {
    const both = new Roots([join(root, 'below'), root]);
    expect(String(await both.read('deep.png'))).toBe('deep');
    expect(String(await both.read('photo.png'))).toBe('photo');
  });
});

describe('writing', () => {
  it('takes a new name below the folder, and gives its format', async () => {
    const target = await roots.checkTarget('below/new.JPG');
    expect(target).toEqual({ path: join(root, 'below', 'new.JPG'), format: 'jpeg' });
    await roots.write(target.path, Buffer.from('x'));
    expect(await readFile(target.path, 'utf8')).toBe('x');
  });

  it.each(['../new.png', '/tmp/new.png', 'below/../../new.png'])('refuses %s', async (path) => {
    await expect(roots.checkTarget(path)).rejects.toMatchObject(refused);
  });

  it.each(['photo.png', 'new.txt', 'new', 'missing/new.png'])('cannot write %s', async (path) => {
    await expect(roots.checkTarget(path)).rejects.toMatchObject({ code: 'fileUnwritable' });
  });

  it('refuses links out of the folder, dangling ones too', async () => {
    await symlink(folder, join(root, 'out'));
    await expect(roots.checkTarget('out/new.png')).rejects.toMatchObject(refused);
    await symlink(join(folder, 'not-yet.png'), join(root, 'dangling.png'));
    await expect(roots.checkTarget('dangling.png')).rejects.toMatchObject({ code: 'fileUnwritable' });
  });

  it('overwrites nothing that came after it was asked', async () => {
    const { path } = await roots.checkTarget('new.png');
    await symlink(join(folder, 'secret.png'), path);
    await expect(roots.write(path, Buffer.from('x'))).rejects.toMatchObject({ code: 'fileUnwritable' });
    expect(await readFile(join(folder, 'secret.png'), 'utf8')).toBe('secret');
  });
});

describe('the arguments of a tool', () => {
  const put = (name: string, given: object) => putFilesIn({ name, arguments: { ...given } }, roots);

  it('have contents in the place of paths', async () => {
    const { call } = await put('edit_image', {
      images: ['photo.png', 'https://example.com/a.png', 'data:image/png;base64,AA'],
    });
    expect(call.arguments?.images).toEqual([
      { type: 'image', data: Buffer.from('photo').toString('base64'), mimeType: 'application/octet-stream' },
      'https://example.com/a.png',
      'data:image/png;base64,AA',
    ]);
    const described = await put('describe_picture_metadata', { image: 'photo.png' });
    expect(described.call.arguments?.image).toMatchObject({ type: 'image' });
  });

  it.each(['file:///etc/passwd', 'FILE:/etc/passwd', 'ftp://example.com/a.png', 'javascript:1'])(
    'refuse %s',
    async (uri) => {
      await expect(put('edit_image', { images: [uri] })).rejects.toMatchObject({ code: 'pathRefused' });
    },
  );

  it('have a file for each result, whose ending is the format', async () => {
    const { call, targets } = await put('edit_image', { images: [], n: 3, output_path: 'out.webp' });
    expect(call.arguments).toEqual({ images: [], n: 3, output_format: 'webp' });
    expect(targets).toEqual(['out.webp', 'out-2.webp', 'out-3.webp'].map((name) => join(root, name)));
    const image = (data: string) => ({ type: 'image' as const, data, mimeType: 'image/webp' });
    const content = [image('QQ=='), image('Qg=='), { type: 'text' as const, text: 'x' }];
    const result = await takeFilesOut(
      { content, structuredContent: { pictures: [{ seed: 1 }, { seed: 2 }] } },
      targets,
      roots,
    );
    expect(result.structuredContent).toEqual({
      pictures: [
        { seed: 1, path: targets[0] },
        { seed: 2, path: targets[1] },
      ],
    });
    expect(await readFile(targets[1]!, 'utf8')).toBe('B');
  });

  it('contradict each other in the format', async () => {
    const asked = put('generate_image', { output_format: 'png', output_path: 'out.webp' });
    await expect(asked).rejects.toThrow(/leave one of them out/);
  });
});
