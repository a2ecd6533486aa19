export const cliErrors = {
  argumentMissing: 'A command was given fewer arguments than it needs.',
  argumentUnexpected: 'A command was given more arguments than it takes.',
  commandUnknown: 'There is no such command.',
  flagInvalid: 'The value of a flag cannot be used.',
  flagUnknown: 'There is no such flag.',
  inputUnreadable: 'The picture to edit cannot be read.',
  licenseNotAccepted: 'The licence of a model was not accepted.',
  modelFilesMissing: 'The files given are not all that a model needs.',
  modelFilesUnknown: 'It cannot be told what a file of weights is.',
  modelInUse: 'A model cannot be removed: it comes with Retouch, or another needs its files.',
  modelUnknown: 'No model of this id is installed.',
  outputUnusable: 'The picture cannot be written where it was asked for.',
  recordMissing: 'The picture does not say how it was made.',
} as const;

export type CliErrorCode = keyof typeof cliErrors;

/** Usage errors, after which the command points to its help. */
export const usageErrors: readonly string[] = [
  'argumentMissing',
  'argumentUnexpected',
  'commandUnknown',
  'flagInvalid',
  'flagUnknown',
] satisfies CliErrorCode[];
