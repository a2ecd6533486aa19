/** accountManagement: the requesting account and its usage. */

import type { Infer, ObjectSchema } from '../schema.ts';
import type { TaskType } from '../task-type.ts';

const schema = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['accountManagement'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    operation: { type: 'string', required: true, allowed: ['getDetails'] },
  },
} as const satisfies ObjectSchema;

const span = {
  type: 'object',
  required: true,
  properties: {
    credits: { type: 'float', required: true, min: 0 },
    requests: { type: 'integer', required: true, min: 0 },
  },
} as const satisfies ObjectSchema;

const day = {
  type: 'object',
  properties: {
    date: { type: 'string', required: true },
    tasks: { type: 'integer', required: true, min: 0 },
    images: { type: 'integer', required: true, min: 0 },
    computeSeconds: { type: 'float', required: true, min: 0 },
    cost: { type: 'float', required: true, min: 0 },
  },
} as const satisfies ObjectSchema;

const key = {
  type: 'object',
  properties: {
    name: { type: 'string', required: true },
    enabled: { type: 'boolean', required: true },
    createdAt: { type: 'string' },
    lastUsedAt: { type: 'string' },
  },
} as const satisfies ObjectSchema;

const result = {
  type: 'object',
  properties: {
    taskType: { type: 'string', required: true, allowed: ['accountManagement'] },
    taskUUID: { type: 'string', required: true, format: 'uuid' },
    operation: { type: 'string', required: true, allowed: ['getDetails'] },
    organizationUUID: { type: 'string', required: true, format: 'uuid' },
    organizationName: { type: 'string', required: true },
    AIRSource: { type: 'string', required: true },
    balance: { type: 'float', required: true },
    team: { type: 'array', required: true, items: { type: 'object', properties: {} } },
    apiKeys: { type: 'array', required: true, items: key },
    usage: {
      type: 'object',
      required: true,
      properties: {
        total: span,
        today: span,
        last7Days: span,
        last30Days: span,
        days: { type: 'array', required: true, items: day },
      },
    },
  },
} as const satisfies ObjectSchema;

export type AccountManagementTask = Infer<typeof schema>;

export const accountManagement = {
  about: 'Describes the account of the key and its usage by day: images, compute time and cost.',
  schema,
  result,
  examples: [
    {
      taskType: 'accountManagement',
      taskUUID: '50836053-a0ee-4cf5-b9d6-ae7c5d140ada',
      operation: 'getDetails',
    },
  ],
  documentation: 'https://runware.ai/docs/platform/account-management',
} as const satisfies TaskType<AccountManagementTask>;
