/** A tool of the MCP server, and the parts of the product that it uses. */

import type { CallToolResult, ToolAnnotations } from '@modelcontextprotocol/sdk/types.js';
import type { JsonSchema } from '../api/json-schema.ts';
import type { ObjectSchema } from '../api/schema.ts';
import type { AssetStore } from '../store/assets.ts';
import type { Lifetimes } from '../store/lifetimes.ts';
import type { ModelStore } from '../store/models.ts';
import type { Sources } from '../tasks/inputs/image-source.ts';
import type { TaskService } from '../tasks/service.ts';

/** The parts of a server that its MCP door needs. */
export type Desk = {
  service: TaskService;
  models: ModelStore;
  assets: AssetStore;
  lifetimes: Pick<Lifetimes, 'recent'>;
  sources: Sources;
};

/** The account of the client, and the start of URLs that it can reach; empty where it can reach none. */
export type Client = { account: string; publicUrl: string };

export type ToolCall = Client & {
  /** Fires when the client cancels or leaves. */
  signal: AbortSignal;
  progress(done: number, total: number, message: string): void;
};

export type Tool<Arguments = Record<string, unknown>> = {
  title: string;
  description: string;
  schema: ObjectSchema;
  /** The schema of `structuredContent`. */
  output: JsonSchema & { type: 'object' };
  annotations: ToolAnnotations;
  run(given: Arguments, desk: Desk, call: ToolCall): Promise<CallToolResult>;
};

/** An input error that the client's language model can read and correct. */
export function refusal(messages: readonly string[]): CallToolResult {
  const text = [...new Set(messages)].join('\n');
  return { isError: true, content: [{ type: 'text', text }] };
}

/** The structured answer, and the same as text for clients that show only text. */
export function answer(
  structuredContent: Record<string, unknown>,
  text = JSON.stringify(structuredContent, null, 2),
): CallToolResult {
  return { structuredContent, content: [{ type: 'text', text }] };
}
