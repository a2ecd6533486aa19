/** The tool list_models. */

import type { ObjectSchema } from '../api/schema.ts';
import { listedSizes, sizeName } from '../api/sizes.ts';
import { findModel } from '../server/images.ts';
import { answer, type Tool } from './tool.ts';

const schema = { type: 'object', properties: {} } as const satisfies ObjectSchema;

export const listModels: Tool<object> = {
  title: 'List models',
  description: 'The installed models, and the LoRAs and other adapters that can be given with them.',
  schema,
  output: {
    type: 'object',
    properties: { models: { type: 'array' }, adapters: { type: 'array' } },
    required: ['models', 'adapters'],
  },
  annotations: { readOnlyHint: true, openWorldHint: false },
  async run(_, { models: store }) {
    const chosen = findModel(store, undefined);
    const models = store.models.map(({ air, name, architecture, defaults, sizes, photographs, about }) => ({
      ...{ model: air, name, architecture, isDefault: air === chosen?.air, photographs },
      ...{ steps: defaults.steps, guidance: defaults.guidance, comment: about.comment },
      sizes: (sizes ?? listedSizes).map(sizeName),
    }));
    const adapters = store.adapters.map(({ air, name, category, architecture, about }) => ({
      ...{ model: air, name, category, comment: about.comment },
      ...(architecture === undefined ? {} : { architecture }),
    }));
    return answer({ models, adapters });
  },
};
