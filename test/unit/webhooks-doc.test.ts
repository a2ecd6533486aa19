import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { webhookHeaders } from '../../src/tasks/deliveries/send.ts';

const page = readFileSync(new URL('../../docs/reference/webhooks.md', import.meta.url), 'utf8');

it('the receiver in docs/reference/webhooks.md tells genuine webhooks from others', async () => {
  const code = /```js\n(.*?)```/s.exec(page)![1]!;
  const source = `${code}export { isGenuine };`;
  const { isGenuine } = await import(/* @vite-ignore */ `data:text/javascript,${encodeURIComponent(source)}`);
  const body = '{"data":[{"seed":7}]}';
  const delivery = { uuid: 'd' };
  const headers = webhookHeaders(delivery, Buffer.from(body), 'secret');
  expect(isGenuine(headers, body, 'secret')).toBe(true);
  expect(isGenuine(headers, body, 'another')).toBe(false);
  expect(isGenuine(headers, body.replace('7', '8'), 'secret')).toBe(false);
  const old = String(Number(headers['x-retouch-timestamp']) - 1000);
  expect(isGenuine({ ...headers, 'x-retouch-timestamp': old }, body, 'secret')).toBe(false);
  expect(isGenuine({}, body, 'secret')).toBe(false);
});
