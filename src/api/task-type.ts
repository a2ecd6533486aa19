import type { JsonSchema } from './json-schema.ts';
import type { ObjectSchema } from './schema.ts';
import type { Size } from './sizes.ts';
import type { Reader } from './validate.ts';

/** A JSON object as received. */
export type WireObject = { [name: string]: unknown };

export type Renamed = {
  task: WireObject;
  /** New name of a parameter → the name that the client wrote. */
  spelling: ReadonlyMap<string, string>;
  /** Pairs of spellings of one parameter with different values. */
  clashes: readonly (readonly [older: string, newer: string])[];
};

/** One entry of the table of task types; `Fields` is the type of a valid task. */
export type TaskType<Fields extends object = WireObject> = {
  schema: ObjectSchema;
  /** The page whose anchors `#request-…` explain the parameters. */
  documentation: string;
  /** One sentence that describes the task. */
  about: string;
  /** Valid tasks, for the documents that describe the API. */
  examples: readonly WireObject[];
  /** The schema of the items that answer the task. */
  result: ObjectSchema;
  /** The part of `checkTogether` that JSON Schema can express. */
  constraints?: readonly JsonSchema[];
  /** The taskUUID names another task, so a request may hold it more than once. */
  namesOther?: boolean;
  rename?(task: WireObject): Renamed;
  /** Rules between parameters; a parameter that is invalid alone is undefined. `sizes`: the sizes of the task's model. */
  checkTogether?(task: Partial<Fields>, reader: Reader, sizes?: readonly Size[]): void;
};
