export const storeErrors = {
  assetWriteFailed: 'A picture could not be written to the data directory.',
  dataDirectoryUnusable: 'The data directory cannot be made or written to.',
  manifestInvalid: 'A manifest.json in the models directory has a fault.',
} as const;

export type StoreErrorCode = keyof typeof storeErrors;
