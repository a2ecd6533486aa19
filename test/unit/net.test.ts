import { brotliCompressSync, deflateRawSync, deflateSync, gzipSync, zstdCompressSync } from 'node:zlib';
import { afterEach, describe, expect, it } from 'vitest';
import { isPublicAddress } from '../../src/net/addresses.ts';
import { checkUrl, type FetchLimits, fetchUrl, openUrl } from '../../src/net/fetch.ts';
import { closeAll, listen } from '../fixtures/listen.ts';

const limits: FetchLimits = {
  allowPrivate: ['127.0.0.1'],
  maxBytes: 1000,
  totalMilliseconds: 5000,
  connectMilliseconds: 5000,
  maxRedirects: 5,
};

afterEach(closeAll);

async function codeOf(
  url: string,
  changes: Partial<FetchLimits> = {},
  signal?: AbortSignal,
): Promise<string> {
  const error = await fetchUrl(url, { ...limits, ...changes }, signal).catch((error: unknown) => error);
  return (error as { code: string }).code;
}

describe('addresses', () => {
  it.each([
    '0.0.0.0',
    '10.1.2.3',
    '100.64.0.1',
    '127.0.0.1',
    '169.254.169.254',
    '172.16.0.1',
    '172.31.255.255',
    '192.168.1.1',
    '198.18.0.1',
    '224.0.0.1',
    '255.255.255.255',
    '::',
    '::1',
    '::ffff:127.0.0.1',
    '::ffff:8.8.8.8',
    '64:ff9b::7f00:1',
    'fc00::1',
    'fd12:3456::1',
    'fe80::1',
    'ff02::1',
    '2001:db8::1',
    '2002:7f00:1::',
    'not an address',
  ])('%s is not public', (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });

  it.each(['8.8.8.8', '172.15.0.1', '172.32.0.1', '100.128.0.1', '2606:4700:4700::1111', '2a00:1450::1'])(
    '%s is public',
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );
});

describe('a URL that leads inside', () => {
  it.each([
    'http://127.0.0.1/',
    'http://127.1/',
    'http://2130706433/',
    'http://0x7f000001/',
    'http://0177.0.0.1/',
    'http://[::1]/',
    'http://[::ffff:127.0.0.1]/',
    'http://[::ffff:7f00:1]/',
    'http://localhost/',
    'http://169.254.169.254/latest/meta-data/',
    'http://0/',
  ])('is refused: %s', async (url) => {
    expect(await codeOf(url, { allowPrivate: false })).toBe('addressRefused');
  });

  it('is refused when any address of its name is private', async () => {
    const resolve = async () => [
      { address: '93.184.215.14', family: 4 },
      { address: '10.0.0.1', family: 4 },
    ];
    expect(await codeOf('http://pictures.example/', { resolve })).toBe('addressRefused');
  });

  it('is refused after a redirect, also from a host that is allowed', async () => {
    const url = await listen((request, response) => {
      response.writeHead(302, { location: `http://localhost:${request.socket.localPort}/inside` }).end();
    });
    expect(await codeOf(url)).toBe('addressRefused');
  });

  it('is fetched when its host is allowed by name', async () => {
    const url = (await listen((_, response) => response.end('inside'))).replace('127.0.0.1', 'localhost');
    const { bytes } = await fetchUrl(url, { ...limits, allowPrivate: ['localhost'] });
    expect(Buffer.from(bytes).toString()).toBe('inside');
  });
});

describe('a connection', () => {
  it('goes to the address that was checked, and the name is asked for once', async () => {
    const url = await listen((request, response) => response.end(request.headers.host));
    const asked: string[] = [];
    const resolve = async (hostname: string) => {
      asked.push(hostname);
      return [{ address: asked.length === 1 ? '127.0.0.1' : '127.0.0.2', family: 4 }];
    };
    const named = url.replace('127.0.0.1', 'pictures.example');
    const { bytes } = await fetchUrl(named, { ...limits, allowPrivate: true, resolve });
    expect(Buffer.from(bytes).toString()).toBe(named.slice('http://'.length));
    expect(asked).toEqual(['pictures.example']);
  });

  it('that nobody takes is an error', async () => {
    const url = await listen(() => {});
    await closeAll();
    expect(await codeOf(url)).toBe('connectFailed');
  });

  it('to a name that does not resolve is an error', async () => {
    const resolve = () => Promise.reject(new Error('ENOTFOUND'));
    expect(await codeOf('http://nowhere.example/', { resolve })).toBe('hostNotFound');
  });
});

describe('an answer', () => {
  it('is its bytes and type', async () => {
    const url = await listen((_, response) => response.setHeader('content-type', 'image/png').end('PNG'));
    expect(await fetchUrl(url, limits)).toEqual({ bytes: Buffer.from('PNG'), contentType: 'image/png' });
  });

  it('may be behind five redirects, relative ones too, but not six', async () => {
    const url = await listen((request, response) => {
      const left = Number(request.url!.slice(1));
      if (left > 0) response.writeHead(307, { location: `/${left - 1}` });
      response.end('there');
    });
    expect((await fetchUrl(`${url}/5`, limits)).bytes).toHaveLength(5);
    expect(await codeOf(`${url}/6`)).toBe('tooManyRedirects');
  });

  it.each([404, 500, 304])('with status %i is an error', async (status) => {
    expect(await codeOf(await listen((_, response) => response.writeHead(status).end()))).toBe(
      'statusRefused',
    );
  });

  it('announced as too large is refused before it is read', async () => {
    const url = await listen((_, response) =>
      response.writeHead(200, { 'content-length': 1001 }).flushHeaders(),
    );
    expect(await codeOf(url)).toBe('fetchTooLarge');
  });

  it('that turns out too large is refused', async () => {
    const url = await listen((_, response) => {
      response.write('x'.repeat(900));
      response.write('x'.repeat(900));
    });
    expect(await codeOf(url)).toBe('fetchTooLarge');
  });

  it('that never comes is a timeout', async () => {
    expect(await codeOf(await listen(() => {}), { totalMilliseconds: 50 })).toBe('fetchTimeout');
  });

  it('that stops in the middle is a timeout', async () => {
    const url = await listen((_, response) => response.write('half'));
    expect(await codeOf(url, { totalMilliseconds: 50 })).toBe('fetchTimeout');
  });

  it('that breaks off is an error', async () => {
    const url = await listen((request, response) => {
      response.writeHead(200, { 'content-length': 100 });
      response.write('half', () => request.socket.destroy());
    });
    expect(await codeOf(url)).toBe('connectFailed');
  });

  it('is not waited for once the caller stops', async () => {
    const stop = new AbortController();
    const url = await listen(() => stop.abort());
    expect(await codeOf(url, {}, stop.signal)).toBe('fetchAborted');
  });

  it('is not waited for when the name server is silent', async () => {
    const resolve = () => new Promise<never>(() => {});
    expect(await codeOf('http://silent.example/', { resolve, totalMilliseconds: 50 })).toBe('fetchTimeout');
  });
});

describe('a compressed answer', () => {
  const text = Buffer.from('retouch '.repeat(100));
  const serve = (encoding: string, body: Uint8Array) =>
    listen((_, response) => response.writeHead(200, { 'content-encoding': encoding }).end(body));

  it.each([
    ['gzip', gzipSync(text)],
    ['x-gzip', gzipSync(text)],
    ['GZip', gzipSync(text)],
    ['deflate', deflateSync(text)],
    ['deflate', deflateRawSync(text)],
    ['br', brotliCompressSync(text)],
    ['zstd', zstdCompressSync(text)],
    ['gzip, br', brotliCompressSync(gzipSync(text))],
    ['identity', text],
    ['', text],
    ['aws-chunked', text],
    ['aws-chunked, gzip', gzipSync(text)],
  ])('is decompressed: %s', async (encoding, body) => {
    expect((await fetchUrl(await serve(encoding, body), limits)).bytes).toEqual(text);
  });

  it('is empty where there is no body', async () => {
    expect((await fetchUrl(await serve('gzip', Buffer.alloc(0)), limits)).bytes).toHaveLength(0);
  });

  it.each([
    ['gzip', gzipSync],
    ['br', brotliCompressSync],
    ['zstd', zstdCompressSync],
  ] as const)('that grows beyond the limit is refused: %s', async (encoding, compress) => {
    expect(
      await codeOf(await serve(encoding, compress(Buffer.alloc(50_000_000))), { maxBytes: 100_000 }),
    ).toBe('fetchTooLarge');
  });

  it.each([
    ['gzip', text],
    ['br', text],
    ['zstd', text],
    ['gzip', gzipSync(text).subarray(0, 20)],
    ['deflate', deflateSync(text).subarray(0, 10)],
  ])('that is not what its header says is an error: %s', async (encoding, body) => {
    expect(await codeOf(await serve(encoding, body))).toBe('encodingInvalid');
  });
});

describe('a redirect', () => {
  it.each([
    ['as raw UTF-8', Buffer.from('/ü.png').toString('latin1'), '/%C3%BC.png'],
    ['as raw Latin-1', '/\u00fc.png', '/%C3%BC.png'],
    ['percent-encoded', '/%C3%BC.png', '/%C3%BC.png'],
  ])('to a path with letters beyond ASCII, %s, asks as browsers do', async (_, location, asked) => {
    const url = await listen((request, response) => {
      if (request.url === '/') response.writeHead(302, { location });
      response.end(request.url);
    });
    expect(Buffer.from((await fetchUrl(url, limits)).bytes).toString()).toBe(asked);
  });
});

describe('a receiver that no resolver knows', () => {
  const unknown = { ...limits, resolve: async () => Promise.reject(new Error('ENOTFOUND')) };

  it.each([
    'http://localhost.:80/',
    'http://localhost../',
    'http://LOCALHOST/',
    'http://a.localhost/',
    'http://a.b.localhost.:8080/',
    'http://localhost.localdomain/',
    'http://localhost6.localdomain6/',
    'http://ip6-localhost/',
    'http://ip6-loopback./',
  ])('is refused by a name of this machine: %s', async (url) => {
    await expect(checkUrl(url, { ...unknown, allowPrivate: false })).rejects.toMatchObject({
      code: 'addressRefused',
    });
  });

  it.each([
    'http://localhost.example.com/',
    'http://notlocalhost/',
    'https://user%40example.com:x@host.example/',
  ])('passes, as it may be found later: %s', async (url) => {
    await checkUrl(url, { ...unknown, allowPrivate: false });
  });

  it('passes under a name of this machine that is allowed', async () => {
    await checkUrl('http://localhost/', { ...unknown, allowPrivate: ['localhost'] });
    await checkUrl('http://a.localhost/', { ...unknown, allowPrivate: true });
  });
});

describe('a URL', () => {
  it.each([
    'ftp://example.com/a.png',
    'file:///etc/passwd',
    'javascript:alert(1)',
    'http://',
    'http://[::1',
    'http:///x',
    'https:////x/a',
    'http:\\\\x',
    'http:/x',
    'http:x',
    'http://127.0.0.1%2f@example.com:1/',
    'http://127.0.0.1%5C:80@example.com/',
    'http://169.254.169.254%23@example.com/',
  ])('is refused: %s', async (url) => {
    expect(await codeOf(url)).toBe('urlRefused');
    await expect(checkUrl(url, limits)).rejects.toMatchObject({ code: 'urlRefused' });
  });

  it('may not redirect to another scheme', async () => {
    const url = await listen((_, response) =>
      response.writeHead(302, { location: 'file:///etc/passwd' }).end(),
    );
    expect(await codeOf(url)).toBe('urlRefused');
  });

  it('loses its query and password in messages', async () => {
    const error = await fetchUrl('http://user:secret@127.0.0.1/a.png?token=secret', {
      ...limits,
      allowPrivate: false,
    })
      .then(() => undefined)
      .catch((error: Error) => error.message);
    expect(error).toContain('http://127.0.0.1/a.png');
    expect(error).not.toContain('secret');
  });
});

describe('a stream', () => {
  const streaming = { ...limits, idleMilliseconds: 5000 };
  const never = new AbortController().signal;
  const read = async (body: AsyncIterable<Uint8Array>) => {
    let size = 0;
    for await (const piece of body) size += piece.length;
    return size;
  };

  it('may be larger than what is fetched whole, and has any status', async () => {
    const url = await listen((request, response) => {
      response.writeHead(request.headers.range ? 206 : 404).end('x'.repeat(100_000));
    });
    const part = await openUrl(url, { range: 'bytes=5-' }, { ...streaming, signal: never });
    expect([part.status, await read(part.body)]).toEqual([206, 100_000]);
    const missing = await openUrl(url, {}, { ...streaming, signal: never });
    expect(missing.status).toBe(404);
    missing.close();
  });

  it('does not tell a token to the host that it is redirected to', async () => {
    const told: (string | undefined)[] = [];
    const other = await listen((request, response) => {
      told.push(request.headers.authorization);
      response.end();
    });
    const url = await listen((request, response) => {
      told.push(request.headers.authorization);
      response.writeHead(302, { location: `${other}/file` }).end();
    });
    const answer = await openUrl(url, { authorization: 'Bearer secret' }, { ...streaming, signal: never });
    await read(answer.body);
    expect(told).toEqual(['Bearer secret', undefined]);
  });

  it.each<[string, Parameters<typeof listen>[0], string]>([
    ['that never begins', () => {}, 'fetchTimeout'],
    ['that falls silent', (_, response) => response.write('half'), 'fetchTimeout'],
    [
      'that breaks off',
      (request, response) => {
        response.writeHead(200, { 'content-length': 100 });
        response.write('half', () => request.socket.destroy());
      },
      'connectFailed',
    ],
    [
      'without end of redirects',
      (_, response) => response.writeHead(302, { location: '/' }).end(),
      'tooManyRedirects',
    ],
  ])('%s is an error', async (_, handler, code) => {
    const url = await listen(handler);
    const short = { ...streaming, connectMilliseconds: 100, idleMilliseconds: 100 };
    const work = openUrl(url, {}, { ...short, signal: never }).then(({ body }) => read(body));
    await expect(work).rejects.toMatchObject({ code });
  });

  it('into a private network is refused, after a redirect too', async () => {
    const url = await listen((request, response) => {
      response.writeHead(302, { location: `http://localhost:${request.socket.localPort}/` }).end();
    });
    const open = (allowPrivate: boolean | string[]) =>
      openUrl(url, {}, { ...streaming, allowPrivate, signal: never }).catch(({ code }) => code);
    expect(await open(false)).toBe('addressRefused');
    expect(await open(['127.0.0.1'])).toBe('addressRefused');
  });
});
