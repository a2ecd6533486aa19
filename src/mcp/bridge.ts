/**
 * The server that `retouch mcp` runs on its standard streams: it forwards to the server of server.ts, in this process or
 * behind a URL, and adds the files of this machine to its tools.
 */

import { fileURLToPath } from 'node:url';
import { Client as SdkClient } from '@modelcontextprotocol/sdk/client/index.js';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import type { Transport } from '@modelcontextprotocol/sdk/shared/transport.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  CallToolResultSchema,
  GetPromptRequestSchema,
  GetPromptResultSchema,
  ListPromptsRequestSchema,
  ListPromptsResultSchema,
  ListResourcesRequestSchema,
  ListResourcesResultSchema,
  ListResourceTemplatesRequestSchema,
  ListResourceTemplatesResultSchema,
  ListToolsRequestSchema,
  type Progress,
  ReadResourceRequestSchema,
  ReadResourceResultSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { RetouchError } from '../error.ts';
import { addFileParameters, putFilesIn, takeFilesOut } from './files.ts';
import { Roots } from './roots.ts';
import type { ServerInfo } from './server.ts';
import { refusal } from './tool.ts';

export type BridgeOptions = {
  /** To the server behind. */
  inner: Transport;
  /** To the client in front. */
  outer: Transport;
  /** Folders that may be read and written; empty leaves them to the client. */
  roots: readonly string[];
  info: ServerInfo;
};

/** An image of a large model on a small machine takes hours; heartbeats say that it is not forgotten. */
const requestTime = { timeout: 300_000, resetTimeoutOnProgress: true } as const;

/** Resolves once both sides are connected. `closed` settles when either of them has gone. */
export async function openBridge({
  inner,
  outer,
  roots,
  info,
}: BridgeOptions): Promise<{ closed: Promise<void>; close(): Promise<void> }> {
  const behind = new SdkClient(info);
  await behind.connect(inner);
  const front = new Server(info, {
    capabilities: { tools: {}, resources: {}, prompts: {} },
    ...(behind.getInstructions() === undefined ? {} : { instructions: behind.getInstructions()! }),
  });

  front.setRequestHandler(ListToolsRequestSchema, async ({ params }) => {
    const { tools, ...rest } = await behind.listTools(params);
    return { ...rest, tools: tools.map(addFileParameters) };
  });
  front.setRequestHandler(CallToolRequestSchema, async ({ params }, { signal, sendNotification, _meta }) => {
    const token = _meta?.progressToken;
    const onprogress = (progress: Progress) => {
      if (token === undefined) return;
      const told = { progressToken: token, ...progress };
      sendNotification({ method: 'notifications/progress', params: told }).catch(() => {});
    };
    try {
      const files = new Roots(await allowedFolders());
      const { call, targets } = await putFilesIn(params, files);
      const request = { method: 'tools/call' as const, params: call };
      const options = { ...requestTime, signal, onprogress };
      const result: CallToolResult = await behind.request(request, CallToolResultSchema, options);
      return await takeFilesOut(result, targets, files);
    } catch (error) {
      if (error instanceof RetouchError) return refusal([error.message]);
      throw error;
    }
  });
  front.setRequestHandler(ListResourcesRequestSchema, (request, { signal }) =>
    behind.request(request, ListResourcesResultSchema, { signal }),
  );
  front.setRequestHandler(ListResourceTemplatesRequestSchema, (request, { signal }) =>
    behind.request(request, ListResourceTemplatesResultSchema, { signal }),
  );
  front.setRequestHandler(ReadResourceRequestSchema, (request, { signal }) =>
    behind.request(request, ReadResourceResultSchema, { signal }),
  );
  front.setRequestHandler(ListPromptsRequestSchema, (request, { signal }) =>
    behind.request(request, ListPromptsResultSchema, { signal }),
  );
  front.setRequestHandler(GetPromptRequestSchema, (request, { signal }) =>
    behind.request(request, GetPromptResultSchema, { signal }),
  );

  /** The operator's folders, or else those that the client offers now. */
  async function allowedFolders(): Promise<readonly string[]> {
    if (roots.length > 0) return roots;
    if (!front.getClientCapabilities()?.roots) return [];
    const offered = await front.listRoots();
    return offered.roots
      .map(({ uri }) => uri)
      .filter(isFileUri)
      .map((uri) => fileURLToPath(uri));
  }

  const { promise: closed, resolve } = Promise.withResolvers<void>();
  front.onclose = resolve;
  behind.onclose = resolve;
  await front.connect(outer);
  const close = async () => {
    await front.close();
    await behind.close();
  };
  return { closed, close };
}

function isFileUri(uri: string): boolean {
  return uri.startsWith('file://') && URL.canParse(uri);
}
