/** Ways to the server behind `retouch mcp`. */

import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { InMemoryTransport } from '@modelcontextprotocol/sdk/inMemory.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import { createMcpServer, type ServerInfo } from './server.ts';
import type { Desk } from './tool.ts';

/** One account, since only the client of this process is there. */
const client = { account: 'everyone', publicUrl: '' };

export async function connectHere(desk: Desk, info: ServerInfo): Promise<Transport> {
  const [near, far] = InMemoryTransport.createLinkedPair();
  await createMcpServer(desk, client, info).connect(far);
  return near;
}

/** `url` is that of the server, with or without the path of its MCP door. */
export function connectTo(url: string, key: string | undefined): Transport {
  const address = new URL(url);
  if (!/\/mcp\/?$/.test(address.pathname)) address.pathname = `${address.pathname.replace(/\/+$/, '')}/mcp`;
  const headers = key === undefined ? {} : { authorization: `Bearer ${key}` };
  // Its types say `| undefined` where the interface says absent.
  return new StreamableHTTPClientTransport(address, { requestInit: { headers } }) as Transport;
}

export function standardStreams(): Transport {
  return new StdioServerTransport();
}
