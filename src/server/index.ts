/** The server as a library, `retouch/server`: `startServer(loadConfig({ env: process.env }))`. */

export { type Config, type ConfigSources, loadConfig } from '../config.ts';
export { RetouchError } from '../error.ts';
export { type RunningServer, type StartOptions, startServer } from './start.ts';
