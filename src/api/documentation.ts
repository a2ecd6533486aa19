import type { Schema } from './schema.ts';
import type { TaskType } from './task-type.ts';

/**
 * The address that explains a parameter, `inputs.referenceImages` for example: its anchor on the page of its task type, or
 * the page itself where it has none.
 */
export function documentationOf(
  { schema, documentation: page }: Pick<TaskType, 'schema' | 'documentation'>,
  parameter: string,
): string {
  let at: Schema | undefined = schema;
  for (const name of parameter.split('.')) {
    const object: Schema | undefined = at?.type === 'array' ? at.items : at;
    at =
      object?.type === 'object' && Object.hasOwn(object.properties, name)
        ? object.properties[name]
        : undefined;
  }
  if (at === undefined || at.unlisted) return page;
  return `${page}#request-${parameter.replaceAll('.', '-').toLowerCase()}`;
}
