/** Prompts that show what the installed models do: the examples of their manifests. */

import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import type { GetPromptResult, Prompt } from '@modelcontextprotocol/sdk/types.js';
import type { ModelStore } from '../store/models.ts';

type Example = { prompt: string; image: string | undefined; model: string };

function examplesOf({ models }: ModelStore): ReadonlyMap<string, Example> {
  const examples = models.flatMap(({ air, examples }) => examples.map((each) => ({ ...each, model: air })));
  return new Map(examples.map((example) => [nameOf(example), example]));
}

export function listPrompts(models: ModelStore): Prompt[] {
  return [...examplesOf(models)].map(([name, { prompt, image, model }]) => ({
    name,
    title: prompt,
    description: `${image === undefined ? 'Makes a picture' : 'Edits a picture that is given along'} with ${model}.`,
  }));
}

/** Undefined when there is none of that name. */
export async function getPrompt(models: ModelStore, name: string): Promise<GetPromptResult | undefined> {
  const example = examplesOf(models).get(name);
  if (!example) return undefined;
  const { prompt, image, model } = example;
  const tool = image === undefined ? 'generate_image' : 'edit_image with this picture';
  const text = `Call ${tool}, model ${model} and the prompt: ${prompt}`;
  const messages: GetPromptResult['messages'] = [{ role: 'user', content: { type: 'text', text } }];
  if (image !== undefined) {
    const data = (await readFile(image)).toString('base64');
    const mimeType = extname(image) === '.png' ? 'image/png' : 'image/jpeg';
    messages.unshift({ role: 'user', content: { type: 'image', data, mimeType } });
  }
  return { description: prompt, messages };
}

/** `turn the red car blue` → `turn-the-red-car-blue`. */
function nameOf({ prompt }: Example): string {
  return prompt
    .toLowerCase()
    .replace(/[^a-z0-9]+/g, '-')
    .replace(/^-|-$/g, '');
}
