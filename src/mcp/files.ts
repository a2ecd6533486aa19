/** Files of this machine in the arguments and results of tools: paths go in as image contents, results come out as files. */

import type { CallToolRequest, CallToolResult, Tool } from '@modelcontextprotocol/sdk/types.js';
import { isUuid } from '../api/validate.ts';
import { mcpError } from './errors.ts';
import type { Roots } from './roots.ts';

/** Tools whose pictures can be written to files, with the argument that names the target. */
const writers = ['edit_image', 'generate_image'];

const outputPath = {
  type: 'string',
  description:
    'Where the picture is written, below an allowed folder, ending in .png, .jpg or .webp, which is then its format. ' +
    'Nothing is overwritten; of several pictures the later ones get -2, -3 … before the ending.',
};

export function addFileParameters(tool: Tool): Tool {
  const { properties = {}, ...schema } = tool.inputSchema;
  const described = Object.fromEntries(
    Object.entries(properties).map(([name, property]) => {
      if (!['images', 'image', 'mask'].includes(name)) return [name, property];
      const { description } = property as { description?: string };
      const more = `${description ?? ''} Or paths of files below an allowed folder.`;
      return [name, { ...property, description: more }];
    }),
  );
  const more = writers.includes(tool.name) ? { output_path: outputPath } : {};
  return { ...tool, inputSchema: { ...schema, properties: { ...described, ...more } } };
}

type Call = CallToolRequest['params'];

/** `targets` are files to write. Throws the codes of `Roots`. */
export async function putFilesIn(
  { _meta, ...params }: Call,
  roots: Roots,
): Promise<{ call: Call; targets: string[] }> {
  const { output_path: path, image, images, mask, ...rest } = params.arguments ?? {};
  const given: Record<string, unknown> = { ...rest };
  let targets: string[] = [];
  if (path !== undefined && writers.includes(params.name)) {
    if (typeof path !== 'string')
      throw mcpError('fileUnwritable', "'output_path' is no text; expected a path.");
    const count = Number.isInteger(given.n) ? Math.min(given.n as number, 20) : 1;
    const found = await Promise.all(namesOf(path, count).map((name) => roots.checkTarget(name)));
    targets = found.map((target) => target.path);
    const { format } = found[0]!;
    if (given.output_format !== undefined && given.output_format !== format) {
      const message = `'output_path' ends as a ${format} does and 'output_format' is '${given.output_format}'; leave one of them out.`;
      throw mcpError('fileUnwritable', message);
    }
    given.output_format = format;
  } else if (path !== undefined) {
    given.output_path = path;
  }
  if (mask !== undefined) given.mask = await withContent(mask, roots);
  if (image !== undefined) given.image = await withContent(image, roots);
  if (images !== undefined) {
    const list = Array.isArray(images) ? images : [images];
    given.images = await Promise.all(list.map((each) => withContent(each, roots)));
  }
  return { call: { ...params, arguments: given }, targets };
}

/** `a.png` → `a.png`, `a-2.png` … */
function namesOf(path: string, count: number): string[] {
  return Array.from({ length: Math.max(count, 1) }, (_, i) =>
    i === 0 ? path : path.replace(/(\.\w+)$/, `-${i + 1}$1`),
  );
}

/** Longer than any path: base64. */
const longestPath = 4096;

/** Text that names a file, as the image content that it holds. */
async function withContent(value: unknown, roots: Roots): Promise<unknown> {
  if (typeof value !== 'string' || value.length > longestPath || isUuid(value)) return value;
  if (/^(https?|data|retouch):/i.test(value)) return value;
  if (/^[a-z][a-z0-9+.-]+:/i.test(value)) {
    const message = `'${value.slice(0, 100)}' cannot be a picture; expected a path, an http(s) URL, a data URI or a resource URI.`;
    throw mcpError('pathRefused', message);
  }
  const data = (await roots.read(value)).toString('base64');
  // The server detects the type from the bytes, not from the declared type.
  return { type: 'image', data, mimeType: 'application/octet-stream' };
}

/** Writes the pictures of a result. */
export async function takeFilesOut(
  result: CallToolResult,
  targets: readonly string[],
  roots: Roots,
): Promise<CallToolResult> {
  if (targets.length === 0 || result.isError) return result;
  const made = result.content.flatMap((part) => (part.type === 'image' ? [part.data] : []));
  const written = targets.slice(0, made.length);
  for (const [i, path] of written.entries()) await roots.write(path, Buffer.from(made[i]!, 'base64'));
  const { pictures = [] } = (result.structuredContent ?? {}) as { pictures?: object[] };
  const withPaths = pictures.map((picture, i) =>
    written[i] === undefined ? picture : { ...picture, path: written[i] },
  );
  const text = written.map((path) => `Written to ${path}.`).join('\n');
  return {
    ...result,
    content: [...result.content, { type: 'text', text }],
    structuredContent: { ...result.structuredContent, pictures: withPaths },
  };
}
