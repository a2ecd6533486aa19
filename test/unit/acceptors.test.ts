import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { connect, type Socket } from 'node:net';
import { afterEach, describe, expect, it } from 'vitest';
import { Acceptors, acceptorOptions, requireFreePort } from '../../src/server/acceptors.ts';

const sockets: Socket[] = [];

afterEach(() => {
  for (const socket of sockets.splice(0)) socket.destroy();
});

async function listen() {
  const server = createServer((_request, response) => response.end('here'));
  server.listen({ host: '127.0.0.1', port: 0, ...acceptorOptions });
  await once(server, 'listening');
  const address = server.address() as AddressInfo;
  return { server, port: address.port, acceptors: await Acceptors.open(server, [address]) };
}

function open(port: number): Socket {
  const socket = connect(port, '127.0.0.1').on('error', () => {});
  sockets.push(socket);
  return socket;
}

describe('the listening sockets of a port', () => {
  it('hand every connection to the one server, and the last closes with the last connection', async () => {
    const { server, port, acceptors } = await listen();
    const asked = Array.from({ length: 100 }, async () => {
      const socket = open(port);
      socket.write('GET / HTTP/1.1\r\nHost: x\r\n\r\n');
      const [text] = await once(socket, 'data');
      return String(text);
    });
    for (const text of await Promise.all(asked)) expect(text).toMatch(/^HTTP\/1\.1 200[\s\S]*here$/);
    const ended = Promise.all([acceptors.close(), once(server.close(), 'close')]);
    server.closeAllConnections();
    await ended;
    const refused = open(port);
    expect(await once(refused, 'error')).toMatchObject([{ code: 'ECONNREFUSED' }]);
  });

  it.runIf(process.platform === 'linux')(
    'are several, so that as many connections are accepted in one turn',
    async () => {
      const { server, port, acceptors } = await listen();
      // The kernel lists each listening socket (state 0A) with its port.
      const table = await readFile('/proc/net/tcp', 'utf8');
      const local = `0100007F:${port.toString(16).toUpperCase().padStart(4, '0')} `;
      expect(table.split('\n').filter((line) => line.includes(local) && / 0A /.test(line))).toHaveLength(8);
      await Promise.all([acceptors.close(), once(server.close(), 'close')]);
    },
  );

  it.runIf(acceptorOptions.reusePort)('are refused where another program listens', async () => {
    const { server, port, acceptors } = await listen();
    await expect(requireFreePort('127.0.0.1', port)).rejects.toMatchObject({ code: 'EADDRINUSE' });
    await Promise.all([acceptors.close(), once(server.close(), 'close')]);
    await expect(requireFreePort('127.0.0.1', port)).resolves.toBeUndefined();
  });
});
