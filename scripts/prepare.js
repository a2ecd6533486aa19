// Builds the playground when the development dependencies are installed; the published package contains it built. Plain
// JavaScript, since the installing Node may be older than the one the project runs on.

import { createRequire } from 'node:module';
import { fileURLToPath } from 'node:url';

const web = fileURLToPath(new URL('../web', import.meta.url));

try {
  createRequire(import.meta.url).resolve('vite');
} catch {
  console.log('The playground is not built: Vite is a development dependency. The API works without it.');
  process.exit(0);
}
const { build } = await import('vite');
await build({ root: web, configFile: `${web}/vite.config.ts`, logLevel: 'warn' });
