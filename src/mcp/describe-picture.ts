/** The tool describe_picture_metadata: the generation parameters stored in a picture. */

import { failureOf } from '../api/errors.ts';
import type { Infer, ObjectSchema } from '../api/schema.ts';
import { readPlanRecord } from '../engine/pipeline/plan-record.ts';
import { readImage } from '../tasks/inputs/image-source.ts';
import { answer, refusal, type Tool } from './tool.ts';

const schema = {
  type: 'object',
  properties: {
    image: {
      type: 'string',
      required: true,
      minLength: 1,
      about: 'An http(s) URL, a data URI, a resource URI (retouch://pictures/…) or an image content.',
    },
  },
} as const satisfies ObjectSchema;

const place = { parameter: 'image', where: 'image' };

export const describePicture: Tool<Infer<typeof schema>> = {
  title: 'Say how a picture was made',
  description:
    'Reads what a picture made by Retouch says of itself: prompt, seed, model, steps and everything else that decided it.',
  schema,
  output: { type: 'object', properties: { record: { type: 'object' } }, required: ['record'] },
  annotations: { readOnlyHint: true, openWorldHint: false },
  async run({ image: text }, { sources }, { account, signal }) {
    let bytes: Uint8Array;
    try {
      bytes = await readImage({ text, place }, sources, { account, signal });
    } catch (error) {
      const known = failureOf(error);
      if (known) return refusal([known.error.message]);
      throw error;
    }
    const record = readPlanRecord(bytes);
    if (record) return answer({ record });
    return refusal([
      'The picture does not say how it was made; those of Retouch do, unless something removed it.',
    ]);
  },
};
