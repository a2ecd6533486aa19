export const storeErrors = {
  assetWriteFailed: 'A picture could not be written to the data directory.',
  dataDirectoryInUse: 'Another server runs on the same data directory.',
  dataDirectoryUnusable: 'The data directory cannot be made or written to.',
  databaseBusy: 'Another process holds the database for too long.',
  databaseCorrupt: 'The database in the data directory is damaged.',
  databaseFull: 'The database cannot grow: the disk is full.',
  databaseNewer: 'The database was written by a newer version.',
  inputWriteFailed: 'The inputs of a task could not be written to the data directory.',
  diskFull: 'The disk has no room for a download.',
  hashMismatch: 'A downloaded file is not the one that the hub announced.',
  hubGated: 'The hub wants the terms of a repository accepted, or does not accept the token.',
  hubNotFound: 'The hub has no such repository, revision or file.',
  hubRefused: 'The hub gave an answer that cannot be used.',
  keyTaken: 'There is an API key of this name.',
  keyUnknown: 'There is no API key of this name.',
  modelInstalled: 'A model of this id, or a folder of its name, is in the models directory already.',
  storageRefused: 'The bucket of the images refuses a request: wrong keys, rights or name.',
  storageUnreachable: 'The bucket of the images does not answer.',
  storageLimitReached: 'The stored images of an API key would exceed its quota.',
  manifestInvalid: 'A manifest.json in the models directory has a fault.',
} as const;

export type StoreErrorCode = keyof typeof storeErrors;
