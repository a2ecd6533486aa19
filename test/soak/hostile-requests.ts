/** Requests that no honest client sends, as bytes for a raw socket, and how the client behaves after it wrote them. */

import { randomUUID } from 'node:crypto';
import { stringifyJson } from '../../src/api/json.ts';
import { editTask } from '../e2e/server-process.ts';
import type { Dice } from './random.ts';

export type Hostile = {
  kind: string;
  bytes: Buffer;
  /** Sent after the server has answered the first bytes: the frames of a WebSocket. */
  then?: Buffer;
  manner: Manner;
};

/**
 * `read` waits for the answer, `end` closes its half after the bytes, `reset` closes with unread data, `hold` stays silent,
 * `trickle` sends a byte at a time, `deaf` reads no answer.
 */
type Manner = 'read' | 'end' | 'reset' | 'hold' | 'trickle' | 'deaf';

const manners = ['read', 'read', 'read', 'end', 'reset', 'hold', 'trickle', 'deaf'] as const;

const methods = [
  'GET',
  'POST',
  'PUT',
  'DELETE',
  'HEAD',
  'OPTIONS',
  'TRACE',
  'CONNECT',
  'get',
  'PRI',
  'M-SEARCH',
  'X',
];
const addresses = [
  ...['/', '/v1', '/health', '/ready', '/metrics', '/openapi.json', '/v1/models', '/images/', '*'],
  ...[
    '/v1/images/edits',
    '/v1/images/generations',
    '//v1//',
    '/v1/../../etc/passwd',
    '/images/..%2f..%2fetc%2fpasswd',
  ],
  ...[
    '/%',
    '/%00',
    '/%ff%fe',
    '/v1%',
    '/images/%00.png',
    '/v1?%',
    '/\u0000',
    'http://[::',
    'http://other/v1',
    'v1',
  ],
  ...[
    `/images/${randomUUID()}.png`,
    `/${'a'.repeat(5_000)}`,
    `/${'a'.repeat(20_000)}`,
    `/v1?${'b=c&'.repeat(3_000)}`,
  ],
];
const headers = [
  ...[
    'Content-Type: \u0000',
    'Content-Type: multipart/form-data',
    'Content-Type: a/b; charset=\ud83d',
    'Content-Type:',
  ],
  ...[
    'Expect: 100-continue',
    'Expect: the worst',
    'Range: bytes=9-1',
    'Transfer-Encoding: chunked',
    'Transfer-Encoding: x',
  ],
  ...[
    'Content-Encoding: gzip',
    'Content-Encoding: br',
    'Content-Encoding: x',
    'Connection: Upgrade',
    'Upgrade: h2c',
  ],
  ...[
    'Host: a b',
    'Host: ',
    'Origin: null',
    'Origin: http://evil.example',
    'Authorization: Bearer',
    'Cookie: =;;=',
  ],
  ...[
    `X: ${'y'.repeat(20_000)}`,
    `X-${'z'.repeat(300)}: 1`,
    'Bad Name: 1',
    ': 1',
    'X\u0000: 1',
    'X: a\rb',
    ' folded: 1',
  ],
];

/** A request of one kind, by the dice; half of those that have headers give the key. */
export function hostileRequest(dice: Dice, key: string): Hostile {
  const kind = dice.pick(Object.keys(kinds) as (keyof typeof kinds)[]);
  const made = kinds[kind](dice);
  const [bytes, then] = Array.isArray(made) ? made : [made];
  const authorized = dice.chance(0.5) ? authorize(bytes, key) : bytes;
  return { kind, bytes: authorized, manner: dice.pick(manners), ...(then && { then }) };
}

function authorize(bytes: Buffer, key: string): Buffer {
  const host = 'Host: x\r\n';
  const at = bytes.indexOf(host);
  if (at < 0) return bytes;
  const end = at + host.length;
  return Buffer.concat([
    bytes.subarray(0, end),
    Buffer.from(`Authorization: Bearer ${key}\r\n`),
    bytes.subarray(end),
  ]);
}

const kinds = {
  line: (dice) =>
    text(`${dice.pick(methods)} ${dice.pick(addresses)} HTTP/${dice.pick(['1.1', '1.0', '2.0', '9', 'x'])}`, [
      'Host: x',
    ]),
  headers: (dice) => {
    const lines = Array.from({ length: dice.below(dice.chance(0.1) ? 3_000 : 6) }, () => dice.pick(headers));
    return text(`${dice.pick(methods)} ${dice.pick(addresses)} HTTP/1.1`, ['Host: x', ...lines], '[]');
  },
  bytes: (dice) => dice.bytes(dice.below(2_000)),
  // Too long, too short, twice, no number.
  length: (dice) => {
    const lengths = [
      '99999',
      '2',
      '-1',
      '1e3',
      '999999999999999999999',
      '0x10',
      '',
      '10, 12',
      '67108864',
      '1',
    ];
    const lines = Array.from({ length: 1 + dice.below(2) }, () => `Content-Length: ${dice.pick(lengths)}`);
    return text(
      `POST ${dice.pick(['/v1', '/v1/images/edits', '/health', '/%'])} HTTP/1.1`,
      ['Host: x', ...lines],
      json(dice),
    );
  },
  chunks: (dice) => {
    const chunks = [
      '5\r\n[1,2]\r\n',
      'zz\r\n',
      'ffffffffffffffff\r\n',
      '0\r\n\r\n',
      `1;${'e'.repeat(dice.below(9_000))}\r\n[\r\n`,
    ];
    const body = Array.from({ length: 1 + dice.below(5) }, () => dice.pick(chunks)).join('');
    return text('POST /v1 HTTP/1.1', ['Host: x', 'Transfer-Encoding: chunked'], body);
  },
  half: (dice) => {
    const whole = posted('/v1', json(dice));
    return whole.subarray(0, dice.below(whole.length));
  },
  pipelined: (dice) => {
    const one = () =>
      dice.pick([text('GET /openapi.json HTTP/1.1', ['Host: x']), posted('/v1', json(dice)), dice.bytes(20)]);
    return Buffer.concat(Array.from({ length: 2 + dice.below(30) }, one));
  },
  json: (dice) => posted(dice.pick(['/v1', '/', '/v1/images/generations', '/v1/images/edits']), json(dice)),
  task: (dice) => posted('/v1', stringifyJson([task(dice)])),
  form: (dice) => {
    const boundary = dice.pick(['x', '', 'x'.repeat(500), '"', 'a b']);
    const body = form(dice, 'x');
    const type = `Content-Type: multipart/form-data; boundary=${boundary}`;
    return posted(dice.pick(['/v1/images/edits', '/v1']), body.subarray(0, dice.below(body.length + 1)), [
      type,
    ]);
  },
  upgrade: (dice) => {
    const lines = ['Host: x', 'Upgrade: websocket', 'Connection: Upgrade'];
    const options = [
      'Sec-WebSocket-Version: 13',
      'Sec-WebSocket-Version: 99',
      'Sec-WebSocket-Key: short',
      websocketKey,
    ];
    const more = Array.from({ length: dice.below(4) }, () => dice.pick([...options, ...headers]));
    return text(
      `${dice.pick(['GET', 'GET', 'POST'])} ${dice.pick(addresses)} HTTP/1.1`,
      [...lines, ...more],
      '[]',
    );
  },
  frames: (dice) => [handshake, Buffer.concat(Array.from({ length: 1 + dice.below(6) }, () => frame(dice)))],
} satisfies Record<string, (dice: Dice) => Buffer | [Buffer, Buffer]>;

const websocketKey = 'Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==';

/** The request for a WebSocket, without a fault. */
export const handshake = text('GET /v1 HTTP/1.1', [
  ...['Host: x', 'Upgrade: websocket', 'Connection: Upgrade', 'Sec-WebSocket-Version: 13', websocketKey],
]);

function text(line: string, lines: readonly string[], body: string | Buffer = ''): Buffer {
  return Buffer.concat([Buffer.from(`${[line, ...lines].join('\r\n')}\r\n\r\n`), Buffer.from(body)]);
}

function posted(address: string, body: string | Buffer, lines: readonly string[] = []): Buffer {
  const length = `Content-Length: ${Buffer.byteLength(body)}`;
  return text(`POST ${address} HTTP/1.1`, ['Host: x', length, ...lines], body);
}

function json(dice: Dice): string {
  const whole = dice.pick([
    () => stringifyJson(value(dice, 4)),
    () => stringifyJson([task(dice), value(dice, 2)]),
    () => '['.repeat(1 + dice.below(20_000)),
    () => `[{"a":`.repeat(1 + dice.below(2_000)),
    () => `["${'\\u0000'.repeat(dice.below(5_000))}"]`,
    () => '[1e999999, -0, 00, .5, NaN]',
    () => dice.bytes(dice.below(200)).toString('latin1'),
  ])();
  return dice.chance(0.2) ? whole.slice(0, dice.below(whole.length + 1)) : whole;
}

function value(dice: Dice, depth: number): unknown {
  const leaves = [
    null,
    true,
    '',
    '\u0000',
    '\ud800',
    0,
    -1,
    1e308,
    2 ** 53,
    '__proto__',
    'x'.repeat(dice.below(2_000)),
  ];
  if (depth === 0 || dice.chance(0.3)) return dice.pick(leaves);
  const inner = Array.from({ length: dice.below(6) }, () => value(dice, depth - 1));
  if (dice.chance(0.5)) return inner;
  const names = ['taskType', 'taskUUID', 'inputs', '__proto__', 'constructor', '', 'model', 'n'];
  return Object.fromEntries(inner.map((each) => [dice.pick(names), each]));
}

/** A task of any type, with a wrong value in some fields; some have no fault, and are performed. */
function task(dice: Dice): Record<string, unknown> {
  const types = [
    'ping',
    'getResponse',
    'getTaskDetails',
    'imageUpload',
    'modelSearch',
    'authentication',
    'watchTask',
    'x',
  ];
  const base = dice.chance(0.4)
    ? editTask({
        positivePrompt: 'step step',
        inputs: { referenceImages: [dice.chance(0.5) ? picture : 'data:,'] },
      })
    : { taskType: dice.pick(types), taskUUID: randomUUID(), ping: true, apiKey: 'wrong' };
  const wrong = Object.fromEntries(
    Object.keys(base)
      .filter(() => dice.chance(0.1))
      .map((name) => [name, value(dice, 2)]),
  );
  return { ...base, ...wrong };
}

/** One white pixel. */
const picture =
  'data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGP6DwABBQECz6AuzQAAAABJRU5ErkJggg==';

function form(dice: Dice, boundary: string): Buffer {
  const parts = Array.from({ length: dice.below(dice.chance(0.1) ? 1_500 : 5) }, () => {
    const name = dice.pick([
      'prompt',
      'image',
      'image[]',
      'mask',
      'n',
      'stream',
      '',
      '\u0000',
      'x'.repeat(3_000),
    ]);
    const file = dice.pick([
      '',
      '; filename="a.png"',
      '; filename="../../a"',
      '; filename*=x',
      '; filename="',
    ]);
    const head = dice.pick([
      `Content-Disposition: form-data; name="${name}"${file}`,
      'Content-Disposition: x',
      ': x',
    ]);
    return Buffer.concat([
      Buffer.from(`--${boundary}\r\n${head}\r\n\r\n`),
      dice.bytes(dice.below(300)),
      Buffer.from('\r\n'),
    ]);
  });
  return Buffer.concat([
    ...parts,
    Buffer.from(dice.pick([`--${boundary}--\r\n`, `--${boundary}`, '--', ''])),
  ]);
}

/** A frame of a WebSocket with any first bytes, whether or not its length and its mask are right. */
function frame(dice: Dice): Buffer {
  const payload = dice.pick([
    () => Buffer.from(stringifyJson([task(dice)])),
    () => Buffer.from(json(dice)),
    () => dice.bytes(dice.below(125)),
  ])();
  const first = dice.chance(0.7) ? 0x81 : dice.below(256);
  const mask = dice.chance(0.8) ? dice.bytes(4) : undefined;
  const announced = dice.chance(0.8) ? payload.length : dice.below(2 ** 31);
  const head = Buffer.alloc(10);
  head[0] = first;
  head[1] = (mask ? 0x80 : 0) | 127;
  head.writeBigUInt64BE(dice.chance(0.05) ? 2n ** 63n : BigInt(announced), 2);
  if (mask) for (const [i, byte] of payload.entries()) payload[i] = byte ^ mask[i % 4]!;
  return Buffer.concat([head, mask ?? Buffer.alloc(0), payload]);
}

/** A text message of a client that knows the protocol; the mask is of zeros. */
export function message(body: string): Buffer {
  const payload = Buffer.from(body);
  const head = Buffer.alloc(8);
  head[0] = 0x81;
  head[1] = 0x80 | 126;
  head.writeUInt16BE(payload.length, 2);
  return Buffer.concat([head, payload]);
}
