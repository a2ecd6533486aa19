/**
 * Parameter schemas as plain data: one declaration serves validation (`validate.ts`), error messages and the published
 * JSON Schema.
 */

type Common<T> = {
  readonly required?: true;
  /** The parameter's purpose in a sentence or two, for the API's documents. */
  readonly about?: string;
  /** The page of the task type does not list it: an extension, or a name that other models have. */
  readonly unlisted?: true;
  /** The value of an absent parameter. */
  readonly default?: T;
  /** Shown as the default, but not filled in: a rule between parameters interprets absence. */
  readonly implied?: T;
  /** The valid values this version acts on; absent is all of them, `[]` is none. Others are `unsupportedParameter`. */
  readonly supported?: readonly T[];
};

export type StringSchema = Common<string> & {
  readonly type: 'string';
  /** Length in code points. */
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly allowed?: readonly string[];
  readonly format?: 'uuid' | 'uri';
};

export type IntegerSchema = Common<number> & {
  readonly type: 'integer';
  readonly min?: number;
  readonly max?: number;
};

/** An integer beyond 2^53, a bigint in memory. */
export type LongSchema = Common<bigint> & {
  readonly type: 'long';
  readonly min: bigint;
  readonly max: bigint;
};

export type FloatSchema = Common<number> & {
  readonly type: 'float';
  readonly min?: number;
  readonly max?: number;
  /** The value must be a multiple of this. */
  readonly step?: number;
};

type BooleanSchema = Common<boolean> & { readonly type: 'boolean' };

export type ArraySchema = Common<never> & {
  readonly type: 'array';
  readonly items: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
};

export type ObjectSchema = Common<never> & {
  readonly type: 'object';
  readonly properties: { readonly [name: string]: Schema };
};

export type Schema =
  | StringSchema
  | IntegerSchema
  | LongSchema
  | FloatSchema
  | BooleanSchema
  | ArraySchema
  | ObjectSchema;

type Present = { readonly required: true } | { readonly default: unknown };

/** The type of an answer. An optional property may be absent but is never undefined. */
export type Output<S> = S extends { readonly type: 'object'; readonly properties: infer Properties }
  ? Simplify<
      { -readonly [Name in RequiredNames<Properties>]: Output<Properties[Name]> } & {
        -readonly [Name in Exclude<keyof Properties, RequiredNames<Properties>>]?: Output<Properties[Name]>;
      }
    >
  : S extends { readonly type: 'array'; readonly items: infer Items }
    ? Output<Items>[]
    : Infer<S>;

type RequiredNames<Properties> = {
  [Name in keyof Properties]: Properties[Name] extends { readonly required: true } ? Name : never;
}[keyof Properties];
type Simplify<T> = { [Name in keyof T]: T[Name] } & {};

/** The type of a valid value. An optional property is always present, and undefined when it was not given. */
export type Infer<S> = S extends { readonly allowed: readonly (infer Value)[] }
  ? Value
  : S extends { readonly type: 'string' }
    ? string
    : S extends { readonly type: 'integer' | 'float' }
      ? number
      : S extends { readonly type: 'long' }
        ? bigint
        : S extends { readonly type: 'boolean' }
          ? boolean
          : S extends { readonly type: 'array'; readonly items: infer Items }
            ? Infer<Items>[]
            : S extends { readonly type: 'object'; readonly properties: infer Properties }
              ? {
                  -readonly [Name in keyof Properties]: Properties[Name] extends Present
                    ? Infer<Properties[Name]>
                    : Infer<Properties[Name]> | undefined;
                }
              : never;
