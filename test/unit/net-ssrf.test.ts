/** Ways to write an inside address so that a checker overlooks it, and to change it after the check. */

import type { RequestListener } from 'node:http';
import { afterEach, describe, expect, it } from 'vitest';
import { type FetchLimits, fetchUrl } from '../../src/net/fetch.ts';
import { closeAll, listen } from '../fixtures/listen.ts';

const limits: FetchLimits = {
  allowPrivate: false,
  maxBytes: 1000,
  totalMilliseconds: 5000,
  connectMilliseconds: 5000,
  maxRedirects: 5,
  // A name that gets here was not seen to be an address.
  resolve: async (name) => (name in names ? names[name]! : []),
};

const names: Record<string, { address: string; family: number }[]> = {
  'metadata.google.internal': [{ address: '169.254.169.254', family: 4 }],
  'inside.example': [{ address: '10.0.0.1', family: 4 }],
  'six.example': [{ address: 'fd00::1', family: 6 }],
  'mapped.example': [{ address: '::ffff:127.0.0.1', family: 6 }],
  'both.example': [
    { address: '2606:4700:4700::1111', family: 6 },
    { address: '127.0.0.1', family: 4 },
  ],
  'localhost.': [{ address: '127.0.0.1', family: 4 }],
};

afterEach(closeAll);

async function portOf(handler: RequestListener): Promise<number> {
  return Number(new URL(await listen(handler)).port);
}

async function codeOf(url: string, changes: Partial<FetchLimits> = {}): Promise<string | undefined> {
  const error = await fetchUrl(url, { ...limits, ...changes }).then(
    () => undefined,
    (error: { code: string }) => error,
  );
  return error?.code;
}

const loopback = [
  ['decimal', '2130706433'],
  ['hexadecimal', '0x7f000001'],
  ['hexadecimal in capitals', '0X7F000001'],
  ['octal', '017700000001'],
  ['octal parts', '0177.0.0.1'],
  ['hexadecimal parts', '0x7f.0.0.0x1'],
  ['mixed parts', '0x7f.0.1'],
  ['two parts', '127.1'],
  ['three parts', '127.0.1'],
  ['nothing but zero', '0'],
  ['zeros', '0.0.0.0'],
  ['a dot at the end', '127.0.0.1.'],
  ['full-width digits', '１２７.０.０.１'],
  ['circled digits', '①②⑦.⓪.⓪.①'],
  ['percent signs', '%31%32%37.0.0.1'],
  ['an ideographic full stop', '127。0。0。1'],
  ['IPv6', '[::1]'],
  ['IPv6 in full', '[0:0:0:0:0:0:0:1]'],
  ['IPv6 mapped', '[::ffff:127.0.0.1]'],
  ['IPv6 mapped in hexadecimal', '[::ffff:7f00:1]'],
  ['IPv6 mapped in full', '[0:0:0:0:0:ffff:127.0.0.1]'],
  ['IPv6 compatible', '[::127.0.0.1]'],
  ['NAT64', '[64:ff9b::127.0.0.1]'],
  ['6to4', '[2002:7f00:1::]'],
  ['Teredo', '[2001:0:7f00:1::]'],
  ['unspecified', '[::]'],
] as const;

const others = [
  ['metadata', '169.254.169.254'],
  ['metadata in decimal', '2852039166'],
  ['metadata in hexadecimal', '0xa9fea9fe'],
  ['metadata mapped', '[::ffff:a9fe:a9fe]'],
  ["metadata of AWS's IPv6", '[fd00:ec2::254]'],
  ['link-local', '[fe80::1]'],
  ['multicast', '224.0.0.251'],
  ['multicast of IPv6', '[ff02::fb]'],
  ['broadcast', '255.255.255.255'],
  ['a carrier', '100.100.100.200'],
] as const;

describe('an inside address', () => {
  it.each([...loopback, ...others])('in the notation %s is refused: %s', async (_, host) => {
    expect(await codeOf(`http://${host}/latest/meta-data/`)).toBe('addressRefused');
    expect(await codeOf(`https://${host}:8443/`)).toBe('addressRefused');
  });

  it.each([
    ['a user name', 'http://example.com@127.0.0.1/'],
    ['a user name and password', 'http://example.com:80@127.0.0.1/'],
    ['a fragment', 'http://127.0.0.1#@example.com/'],
    ['a query', 'http://127.0.0.1?@example.com/'],
    ['tabs and newlines', 'http://127.0\t.0.\n1/'],
  ])('behind %s is refused', async (_, url) => {
    expect(await codeOf(url)).toBe('addressRefused');
  });

  it.each(['http:\\\\127.0.0.1\\', 'http:/127.0.0.1/', 'http:///127.0.0.1/'])(
    'in a URL that only browsers repair is refused: %s',
    async (url) => {
      expect(await codeOf(url)).toBe('urlRefused');
    },
  );

  it.each(Object.keys(names))('behind the name %s is refused', async (name) => {
    expect(await codeOf(`http://${name}/`)).toBe('addressRefused');
  });

  it.each([
    'http://2130706433/',
    'http://[::ffff:7f00:1]/',
    'http://0x7f.1/',
    'http://inside.example/',
    '//169.254.169.254/latest',
    'http://metadata.google.internal/',
  ])('is refused where a redirect leads to %s', async (location) => {
    let asked = 0;
    const port = await portOf((_, response) => {
      asked++;
      response.writeHead(302, { location }).end();
    });
    const resolve = async (name: string) =>
      name === 'open.example' ? [{ address: '127.0.0.1', family: 4 }] : (names[name] ?? []);
    const changes = { allowPrivate: ['open.example'], resolve };
    expect(await codeOf(`http://open.example:${port}/`, changes)).toBe('addressRefused');
    expect(asked).toBe(1);
  });
});

describe('a name that changes its address', () => {
  it('is asked for once, and a connection goes to what was checked', async () => {
    let reached = 0;
    const port = await portOf((_, response) => {
      reached++;
      response.end('inside');
    });
    let asked = 0;
    const resolve = async () => {
      asked++;
      // A public address for the check, and a private one for every later lookup.
      return [{ address: asked === 1 ? '192.0.2.1' : '127.0.0.1', family: 4 }];
    };
    const code = await codeOf(`http://rebind.example:${port}/`, {
      allowPrivate: ['rebind.example'],
      connectMilliseconds: 200,
      totalMilliseconds: 300,
      resolve,
    });
    expect(['fetchTimeout', 'connectFailed']).toContain(code);
    expect([asked, reached]).toEqual([1, 0]);
  });

  it('is checked again at each redirect', async () => {
    let asked = 0;
    const resolve = async () => [{ address: asked++ === 0 ? '127.0.0.1' : '10.0.0.1', family: 4 }];
    const port = await portOf((_, response) => response.writeHead(302, { location: '/again' }).end());
    const changes = { allowPrivate: ['first.example'], resolve };
    expect(await codeOf(`http://first.example:${port}/`, { ...changes, maxRedirects: 0 })).toBe(
      'tooManyRedirects',
    );
    asked = 0;
    const elsewhere = await portOf((_, response) =>
      response.writeHead(302, { location: 'http://second.example/' }).end(),
    );
    expect(await codeOf(`http://first.example:${elsewhere}/`, changes)).toBe('addressRefused');
    expect(asked).toBe(2);
  });
});
