import type { ObjectSchema } from './schema.ts';
import type { Reader } from './validate.ts';

/** A JSON object as it came. */
export type WireObject = { [name: string]: unknown };

/** `spelling`: new name of a parameter → the name the client wrote. */
export type Renamed = { task: WireObject; spelling: ReadonlyMap<string, string> };

/** One entry of the table of task types; `Fields` is what a valid task has. */
export type TaskType<Fields extends object = WireObject> = {
  schema: ObjectSchema;
  /** The page whose anchors `#request-…` explain the parameters. */
  documentation: string;
  rename?(task: WireObject): Renamed;
  /** Rules between parameters; those that were invalid alone are undefined. */
  checkTogether?(task: Partial<Fields>, reader: Reader): void;
};
