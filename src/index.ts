/** The package as a library, `retouch`: everything of `retouch/engine` and `retouch/server`. */

export * from './engine/index.ts';
export * from './server/index.ts';
