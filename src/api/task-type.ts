import type { JsonSchema } from './json-schema.ts';
import type { ObjectSchema } from './schema.ts';
import type { Size } from './sizes.ts';
import type { Reader } from './validate.ts';

/** A JSON object as it came. */
export type WireObject = { [name: string]: unknown };

export type Renamed = {
  task: WireObject;
  /** New name of a parameter → the name that the client wrote. */
  spelling: ReadonlyMap<string, string>;
  /** Two spellings of one parameter that the client gave different values. */
  clashes: readonly (readonly [older: string, newer: string])[];
};

/** One entry of the table of task types; `Fields` is what a valid task has. */
export type TaskType<Fields extends object = WireObject> = {
  schema: ObjectSchema;
  /** The page whose anchors `#request-…` explain the parameters. */
  documentation: string;
  /** One sentence on what it does. */
  about: string;
  /** Valid tasks, for the documents that describe the API. */
  examples: readonly WireObject[];
  /** Of the items that answer it. */
  result: ObjectSchema;
  /** What of `checkTogether` JSON Schema can say. */
  constraints?: readonly JsonSchema[];
  /** Its taskUUID is another task's, so it may stand more than once in a request. */
  namesOther?: boolean;
  rename?(task: WireObject): Renamed;
  /** Rules between parameters; those that were invalid alone are undefined. `sizes` are those of the task's model. */
  checkTogether?(task: Partial<Fields>, reader: Reader, sizes?: readonly Size[]): void;
};
