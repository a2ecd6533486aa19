/** The MCP SDK's own client, unmodified, over standard streams and over HTTP, with the real engine. */

import { mkdir, mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { type CallToolResult, ListRootsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { probeImage } from '../../src/engine/image/image-codec.ts';
import { ServerProcess } from '../e2e/server-process.ts';
import { drawScene } from '../fixtures/scene.ts';

vi.setConfig({ testTimeout: 180_000, hookTimeout: 120_000 });

const apiKey = 'a-key-of-the-conformance-tests';
const program = fileURLToPath(new URL('../../bin/retouch.js', import.meta.url));
const quick = { num_inference_steps: 1 };

let folder: string;
let pictures: string;
let server: ServerProcess;
const clients: Client[] = [];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-mcp-'));
  pictures = join(folder, 'pictures');
  await mkdir(pictures);
  await writeFile(join(pictures, 'scene.png'), await drawScene(256, 256));
  await writeFile(join(folder, 'secret.png'), await drawScene(256, 256));
  await symlink(join(folder, 'secret.png'), join(pictures, 'link.png'));
  server = await ServerProcess.start({
    dataDir: join(folder, 'served'),
    env: { RETOUCH_API_KEYS: `${apiKey},another-key` },
  });
});

afterEach(async () => {
  await Promise.all(clients.splice(0).map((client) => client.close()));
});

afterAll(async () => {
  await server?.stop();
  await rm(folder, { recursive: true, force: true });
});

async function connect(transport: Transport, roots?: string[]): Promise<Client> {
  const client = new Client({ name: 'test', version: '1' }, { capabilities: roots ? { roots: {} } : {} });
  if (roots)
    client.setRequestHandler(ListRootsRequestSchema, () => ({
      roots: roots.map((path) => ({ uri: pathToFileURL(path).href })),
    }));
  await client.connect(transport);
  clients.push(client);
  return client;
}

function command(...flags: string[]): StdioClientTransport {
  const env = { PATH: process.env.PATH!, HOME: folder, RETOUCH_LOG_LEVEL: 'error' };
  return new StdioClientTransport({ command: process.execPath, args: [program, 'mcp', ...flags], env });
}

function http(key = apiKey): Transport {
  const headers = { authorization: `Bearer ${key}` };
  return new StreamableHTTPClientTransport(new URL(`${server.url}/mcp`), {
    requestInit: { headers },
  }) as Transport;
}

type Made = { pictures: { uri: string; seed: number; size: string; path?: string; url?: string }[] };

async function call(
  client: Client,
  name: string,
  given: object,
): Promise<CallToolResult & { made: Made['pictures'] }> {
  const result = (await client.callTool({ name, arguments: { ...given } })) as CallToolResult;
  return { ...result, made: (result.structuredContent as Made | undefined)?.pictures ?? [] };
}

const textOf = ({ content }: CallToolResult) =>
  content.flatMap((part) => (part.type === 'text' ? [part.text] : [])).join('\n');

function imageOf({ content }: CallToolResult): Buffer {
  const image = content.find((part) => part.type === 'image');
  return Buffer.from(image!.data, 'base64');
}

const ways = [
  [
    'standard streams and an engine of its own',
    () => command('--root', pictures, '--data-dir', join(folder, 'own')),
  ],
  [
    'standard streams and a running server',
    () => command('--root', pictures, '--url', server.url, '--key', apiKey),
  ],
] as const;

describe.each(ways)('over %s', (_, open) => {
  it('has four tools, with schemas of what goes in and comes out', async () => {
    const { tools } = await (await connect(open())).listTools();
    expect(tools.map(({ name }) => name)).toEqual([
      'edit_image',
      'generate_image',
      'list_models',
      'describe_picture_metadata',
    ]);
    for (const tool of tools) expect(tool.outputSchema, tool.name).toMatchObject({ type: 'object' });
    expect(tools[0]!.inputSchema.properties).toHaveProperty('output_path');
  });

  it('edits a file into a file, and answers content, path and seed', async () => {
    const client = await connect(open());
    const path = `edited-${crypto.randomUUID()}.png`;
    const result = await call(client, 'edit_image', {
      prompt: 'make the background green',
      images: ['scene.png'],
      seed: 5,
      output_path: path,
      ...quick,
    });
    expect(result.isError, textOf(result)).toBeFalsy();
    expect(result.made[0]).toMatchObject({ seed: 5, size: '1024x1024', path: expect.stringContaining(path) });
    const written = await readFile(join(pictures, path));
    expect(written).toEqual(imageOf(result));
    expect((await probeImage(written)).format).toBe('png');
  });

  it('tells progress, step by step', async () => {
    const client = await connect(open());
    const told: string[] = [];
    await client.callTool(
      { name: 'generate_image', arguments: { prompt: 'a red car', num_inference_steps: 3 } },
      undefined,
      { onprogress: ({ progress, total }) => told.push(`${Math.floor(progress)}/${total}`) },
    );
    expect(told.filter((word) => word.endsWith('/3'))).toEqual(['1/3', '2/3', '3/3']);
  });

  it('stops when the call is cancelled, and goes on with the next', async () => {
    const client = await connect(open());
    const stop = new AbortController();
    const asked = client.callTool(
      { name: 'generate_image', arguments: { prompt: 'a red car', n: 4, num_inference_steps: 50 } },
      undefined,
      { signal: stop.signal, onprogress: () => stop.abort() },
    );
    await expect(asked).rejects.toThrow();
    const result = await call(client, 'generate_image', { prompt: 'a blue car', ...quick });
    expect(result.made).toHaveLength(1);
  });

  it.each([
    ['../secret.png', /outside the allowed folders/],
    ['link.png', /outside the allowed folders/],
    ['/etc/passwd', /outside the allowed folders/],
    ['file:///etc/passwd', /cannot be a picture/],
    ['http://127.0.0.1:1/x.png', /private/],
    ['missing.png', /ENOENT/],
  ])('refuses the picture %s', async (image, message) => {
    const result = await call(await connect(open()), 'edit_image', {
      prompt: 'a car',
      images: [image],
      ...quick,
    });
    expect(result.isError).toBe(true);
    expect(textOf(result)).toMatch(message);
  });

  it('refuses to write outside, and says what is wrong with arguments', async () => {
    const client = await connect(open());
    const outside = await call(client, 'generate_image', { prompt: 'a car', output_path: '../x.png' });
    expect(textOf(outside)).toMatch(/outside the allowed folders/);
    const wrong = await call(client, 'edit_image', {
      prompt: 'a car',
      images: ['scene.png'],
      n: 9,
      sise: 'auto',
    });
    expect(textOf(wrong)).toMatch(
      /'sise'.*\n.*'n': found 9, expected an integer from 1 to 4|'n'.*\n.*'sise'/,
    );
  });
});

it('an agent edits, continues from its results, and asks around, in twenty steps', async () => {
  const client = await connect(command('--root', pictures, '--data-dir', join(folder, 'agent')));
  const { structuredContent: listed } = await call(client, 'list_models', {});
  const { models, adapters } = listed as { models: { model: string }[]; adapters: { model: string }[] };
  expect(models.map(({ model }) => model)).toContain('retouch:mini@1');
  const lora = adapters.find(({ model }) => model === 'retouch:neon@1')!.model;
  const example = await client.getPrompt({ name: 'make-it-night' });
  expect(example.messages.map(({ content }) => content.type)).toEqual(['image', 'text']);
  const picture = example.messages[0]!.content;

  let last = await call(client, 'edit_image', { prompt: 'make it night', images: [picture], ...quick });
  for (const prompt of [
    'turn the house blue',
    'add two yellow stars on the left',
    'make it sunset',
    'take away the kite',
    'turn the house red',
    'make the background green',
  ]) {
    last = await call(client, 'edit_image', { prompt, images: [last.made[0]!.uri], ...quick });
    expect(last.isError, textOf(last)).toBeFalsy();
  }
  const two = await call(client, 'edit_image', {
    prompt: 'put both together',
    images: [last.made[0]!.uri, 'scene.png'],
    n: 2,
    seed: 7,
    output_path: 'agent.webp',
    ...quick,
  });
  expect(two.made.map(({ seed }) => seed)).toEqual([7, 8]);
  const neon = await call(client, 'edit_image', {
    prompt: 'make it night',
    images: ['agent-2.webp'],
    lora: [{ model: lora, weight: 0.8 }],
    ...quick,
  });
  const described = await call(client, 'describe_picture_metadata', { image: neon.made[0]!.uri });
  expect(described.structuredContent).toMatchObject({
    record: { prompt: 'make it night', model: 'retouch:mini@1', loras: [{ air: lora }] },
  });
  const ofFile = await call(client, 'describe_picture_metadata', { image: 'agent.webp' });
  expect(ofFile.structuredContent).toMatchObject({ record: { seed: '7' } });
  const unknown = await call(client, 'describe_picture_metadata', { image: 'scene.png' });
  expect(textOf(unknown)).toMatch(/does not say how it was made/);
  const { resources } = await client.listResources();
  expect(resources.map(({ uri }) => uri)).toContain(neon.made[0]!.uri);
  const { contents } = await client.readResource({ uri: neon.made[0]!.uri });
  expect(Buffer.from((contents[0] as { blob: string }).blob, 'base64')).toEqual(imageOf(neon));
  await expect(client.readResource({ uri: `retouch://pictures/${crypto.randomUUID()}` })).rejects.toThrow(
    /no stored picture/,
  );
  const again = await call(client, 'generate_image', {
    prompt: 'a red car',
    seed: 1,
    size: '1536x1024',
    ...quick,
  });
  const same = await call(client, 'generate_image', {
    prompt: 'a red car',
    seed: 1,
    size: '1536x1024',
    ...quick,
  });
  expect(again.made[0]!.size).toBe('1248x832');
  expect(imageOf(same)).toEqual(imageOf(again));
});

it('takes the folders that the client offers', async () => {
  const client = await connect(command('--url', server.url, '--key', apiKey), [pictures]);
  const result = await call(client, 'edit_image', {
    prompt: 'make it night',
    images: ['scene.png'],
    ...quick,
  });
  expect(result.isError, textOf(result)).toBeFalsy();
  const outside = await call(client, 'edit_image', { prompt: 'a car', images: [join(folder, 'secret.png')] });
  expect(textOf(outside)).toMatch(/outside the allowed folders/);
});

it('ends with a sentence when the server of --url is not there or takes no such key', async () => {
  for (const flags of [
    ['--url', 'http://127.0.0.1:1'],
    ['--url', server.url, '--key', 'wrong'],
  ])
    await expect(connect(command(...flags))).rejects.toThrow();
});

describe('over HTTP', () => {
  it('edits, answers URLs that work, and continues from them', async () => {
    const client = await connect(http());
    const scene = { type: 'image', data: (await readFile(join(pictures, 'scene.png'))).toString('base64') };
    const first = await call(client, 'edit_image', { prompt: 'make it night', images: [scene], ...quick });
    expect(first.isError, textOf(first)).toBeFalsy();
    const response = await fetch(first.made[0]!.url!);
    expect(Buffer.from(await response.arrayBuffer())).toEqual(imageOf(first));
    const next = await call(client, 'edit_image', {
      prompt: 'make it sunset',
      images: [first.made[0]!.uri],
      ...quick,
    });
    expect(next.made).toHaveLength(1);
  });

  it('reads no file of the server, and writes none', async () => {
    const client = await connect(http());
    const { tools } = await client.listTools();
    expect(JSON.stringify(tools)).not.toContain('output_path');
    for (const image of [join(pictures, 'scene.png'), pathToFileURL(join(pictures, 'scene.png')).href]) {
      const result = await call(client, 'edit_image', { prompt: 'a car', images: [image], ...quick });
      expect(result.isError).toBe(true);
    }
    const written = await call(client, 'generate_image', { prompt: 'a car', output_path: 'x.png' });
    expect(textOf(written)).toMatch(/'output_path'/);
  });

  it('keeps the pictures and sessions of one key from another', async () => {
    const client = await connect(http());
    const { made } = await call(client, 'generate_image', { prompt: 'a red car', ...quick });
    const other = await connect(http('another-key'));
    expect((await other.listResources()).resources.map(({ uri }) => uri)).not.toContain(made[0]!.uri);
    await expect(other.readResource({ uri: made[0]!.uri })).rejects.toThrow(/no stored picture/);
    const stolen = await call(other, 'edit_image', { prompt: 'a car', images: [made[0]!.uri], ...quick });
    expect(stolen.isError).toBe(true);
    const session = (client.transport as StreamableHTTPClientTransport).sessionId!;
    const response = await fetch(`${server.url}/mcp`, {
      method: 'POST',
      headers: {
        authorization: 'Bearer another-key',
        'content-type': 'application/json',
        accept: 'application/json, text/event-stream',
        'mcp-session-id': session,
      },
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    });
    expect(response.status).toBe(404);
  });

  it('asks for a key, and for an initialize request first', async () => {
    await expect(connect(http('wrong'))).rejects.toThrow(/401|Invalid API key/);
    const post = (body: string) =>
      fetch(`${server.url}/mcp`, {
        method: 'POST',
        headers: { authorization: `Bearer ${apiKey}`, accept: 'application/json, text/event-stream' },
        body,
      });
    expect((await post('{"jsonrpc":"2.0","id":1,"method":"tools/list"}')).status).toBe(400);
    expect((await post('nonsense')).status).toBe(400);
  });

  it('lets a page of another origin call it', async () => {
    const origin = 'https://inspector.example';
    const preflight = await fetch(`${server.url}/mcp`, {
      method: 'OPTIONS',
      headers: {
        origin,
        'access-control-request-method': 'POST',
        'access-control-request-headers': 'authorization, content-type, mcp-protocol-version, mcp-session-id',
      },
    });
    expect(preflight.status).toBe(204);
    expect(preflight.headers.get('access-control-allow-origin')).toBe(origin);
    expect(preflight.headers.get('access-control-allow-headers')).toContain('mcp-session-id');
    expect(preflight.headers.get('access-control-allow-methods')).toContain('DELETE');
    const headers = {
      origin,
      authorization: `Bearer ${apiKey}`,
      'content-type': 'application/json',
      accept: 'application/json, text/event-stream',
    };
    const params = {
      protocolVersion: '2025-06-18',
      capabilities: {},
      clientInfo: { name: 'page', version: '1' },
    };
    const begun = await fetch(`${server.url}/mcp`, {
      method: 'POST',
      headers,
      body: JSON.stringify({ jsonrpc: '2.0', id: 1, method: 'initialize', params }),
    });
    expect(begun.status).toBe(200);
    expect(begun.headers.get('access-control-allow-origin')).toBe(origin);
    expect(begun.headers.get('access-control-expose-headers')).toContain('Mcp-Session-Id');
    const session = begun.headers.get('mcp-session-id')!;
    await begun.text();
    const ended = await fetch(`${server.url}/mcp`, {
      method: 'DELETE',
      headers: { ...headers, 'mcp-session-id': session },
    });
    expect(ended.status).toBe(200);
    expect(ended.headers.get('access-control-allow-origin')).toBe(origin);
    expect((await fetch(`${server.url}/mcp`, { headers: { origin } })).status).toBe(401);
  });

  it('a client that leaves in the middle cancels its images', async () => {
    const client = await connect(http());
    const asked = client.callTool({
      name: 'generate_image',
      arguments: { prompt: 'a red car', n: 4, num_inference_steps: 50 },
    });
    const ended = expect(asked).rejects.toThrow();
    await expect.poll(async () => (await server.health()).queue.depth).toBeGreaterThan(0);
    await (client.transport as StreamableHTTPClientTransport).terminateSession();
    await client.close();
    await ended;
    await expect.poll(async () => (await server.health()).queue.depth).toBe(0);
  });
});
