/**
 * The MCP server (https://modelcontextprotocol.io/specification): tools, stored pictures as resources, and examples as
 * prompts. It reaches no files: pictures come and go as content, URLs and resources. `bridge.ts` adds the files of the
 * machine where `retouch mcp` runs.
 */

import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import {
  CallToolRequestSchema,
  type CallToolResult,
  ErrorCode,
  GetPromptRequestSchema,
  ListPromptsRequestSchema,
  ListResourcesRequestSchema,
  ListResourceTemplatesRequestSchema,
  ListToolsRequestSchema,
  McpError,
  ReadResourceRequestSchema,
  type Tool as ToolEntry,
} from '@modelcontextprotocol/sdk/types.js';
import { toJsonSchema } from '../api/json-schema.ts';
import { Reader } from '../api/validate.ts';
import { describePicture } from './describe-picture.ts';
import { listModels } from './list-models.ts';
import { editImage, generateImage } from './make-images.ts';
import { listPictures, pictureTemplate, pictureText, readPicture } from './pictures.ts';
import { getPrompt, listPrompts } from './prompts.ts';
import { type Client, type Desk, refusal, type Tool, type ToolCall } from './tool.ts';

const tools: ReadonlyMap<string, Tool> = new Map(
  Object.entries({
    edit_image: editImage as unknown as Tool,
    generate_image: generateImage as unknown as Tool,
    list_models: listModels as unknown as Tool,
    describe_picture_metadata: describePicture as unknown as Tool,
  }),
);

/** Milliseconds of silence after which clients may time out. */
const heartbeat = 10_000;

export type ServerInfo = { name: string; version: string };

export function createMcpServer(desk: Desk, client: Client, info: ServerInfo): Server {
  const server = new Server(info, {
    capabilities: { tools: {}, resources: {}, prompts: {} },
    instructions:
      'Edits and makes pictures with diffusion models on this server. Pictures that were made are stored; their ' +
      'retouch://pictures/ URIs are inputs of further edits.',
  });
  server.setRequestHandler(ListToolsRequestSchema, () => ({ tools: [...tools].map(describeTool) }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, { signal, sendNotification, _meta }) => {
    const token = _meta?.progressToken;
    const progress = pacedProgress((params) => {
      if (token === undefined) return;
      const notification = {
        method: 'notifications/progress' as const,
        params: { progressToken: token, ...params },
      };
      // The request's signal reports a client that has disconnected.
      sendNotification(notification).catch(() => {});
    });
    const beat = setInterval(() => progress.beat(), heartbeat);
    try {
      const call: ToolCall = { ...client, signal, progress: progress.tell };
      return await callTool(params.name, params.arguments ?? {}, desk, call);
    } finally {
      clearInterval(beat);
    }
  });
  server.setRequestHandler(ListResourcesRequestSchema, () => ({ resources: listPictures(desk, client) }));
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [pictureTemplate],
  }));
  server.setRequestHandler(ReadResourceRequestSchema, async ({ params: { uri } }) => {
    const found = await readPicture(uri, desk, client);
    if (found) return found;
    throw new McpError(ErrorCode.InvalidParams, `There is no stored picture ${uri.slice(0, 100)}.`);
  });
  server.setRequestHandler(ListPromptsRequestSchema, () => ({ prompts: listPrompts(desk.models) }));
  server.setRequestHandler(GetPromptRequestSchema, async ({ params: { name } }) => {
    const found = await getPrompt(desk.models, name);
    if (found) return found;
    throw new McpError(ErrorCode.InvalidParams, `There is no prompt ${name.slice(0, 100)}.`);
  });
  return server;
}

/** An image content in the place of a picture's text is taken as well. */
const imageContent = {
  type: 'object',
  properties: {
    type: { const: 'image' },
    data: { type: 'string', description: 'Base64.' },
    mimeType: { type: 'string' },
  },
  required: ['type', 'data'],
} as const;

function describeTool([name, { title, description, schema, output, annotations }]: [
  string,
  Tool,
]): ToolEntry {
  const inputSchema = toJsonSchema(schema, { steps: false }) as ToolEntry['inputSchema'];
  const properties = Object.entries(inputSchema.properties ?? {}).map(([name, property]) => [
    name,
    withImageContent(name, property as Record<string, unknown>),
  ]);
  return {
    ...{ name, title, description, annotations: { title, ...annotations } },
    inputSchema: { ...inputSchema, properties: Object.fromEntries(properties) },
    outputSchema: output as NonNullable<ToolEntry['outputSchema']>,
  };
}

function withImageContent(name: string, property: Record<string, unknown>) {
  const { description, items, ...text } = property;
  if (name === 'images') return { ...property, items: { anyOf: [items, imageContent] } };
  if (name === 'image' || name === 'mask') return { description, anyOf: [text, imageContent] };
  return property;
}

async function callTool(
  name: string,
  given: Record<string, unknown>,
  desk: Desk,
  call: ToolCall,
): Promise<CallToolResult> {
  const tool = tools.get(name);
  if (!tool) {
    const expected = [...tools.keys()].join(', ');
    throw new McpError(
      ErrorCode.InvalidParams,
      `There is no tool '${name.slice(0, 60)}'; expected ${expected}.`,
    );
  }
  const reader = new Reader();
  const read = reader.read(tool.schema, withPictureTexts(given), []) as Record<string, unknown>;
  if (reader.errors.length > 0) return refusal(reader.errors.map(({ message }) => message));
  return tool.run(read, desk, call);
}

function withPictureTexts(given: Record<string, unknown>): Record<string, unknown> {
  const { image, images, mask } = given;
  return {
    ...given,
    ...(image === undefined ? {} : { image: pictureText(image) }),
    ...(mask === undefined ? {} : { mask: pictureText(mask) }),
    ...(images === undefined ? {} : { images: Array.isArray(images) ? images.map(pictureText) : images }),
  };
}

type Progress = { progress: number; total?: number; message: string };

/** The protocol requires progress to increase with every notification; a heartbeat between steps adds a negligible amount. */
function pacedProgress(send: (progress: Progress) => void) {
  let last: Progress = { progress: 0, message: 'waiting for the engine' };
  return {
    tell(done: number, total: number, message: string): void {
      last = { progress: Math.max(done, last.progress), total, message };
      send(last);
    },
    beat(): void {
      last = { ...last, progress: last.progress + 0.001 };
      send(last);
    },
  };
}
