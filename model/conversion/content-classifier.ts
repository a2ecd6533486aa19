/**
 * Makes model/classifiers/nsfw/model.safetensors from the npm package nsfwjs 4.3.0 (MIT):
 *
 *   npm pack nsfwjs@4.3.0 && tar xf nsfwjs-4.3.0.tgz
 *   node model/conversion/content-classifier.ts package
 */
import fs from 'node:fs';
import path from 'node:path';
import { convert, type Spec, writeSafetensors } from './affine.ts';

const folder = path.join(process.argv[2]!, 'dist/models/mobilenet_v2');
const out = new URL('../classifiers/nsfw/', import.meta.url).pathname;

/** The package's models are scripts that export a value. */
function load(name: string): unknown {
  const module: { exports: unknown } = { exports: {} };
  new Function('module', 'exports', fs.readFileSync(path.join(folder, name), 'utf8'))(module, module.exports);
  return module.exports;
}

const { weightsManifest } = load('model.min.js') as { weightsManifest: { weights: Spec[] }[] };
const data = Buffer.from(load('group1-shard1of1.min.js') as string, 'base64');
const tensors = convert(
  weightsManifest.flatMap(({ weights }) => weights),
  data,
  () => true,
);
writeSafetensors(path.join(out, 'model.safetensors'), tensors, {
  source: 'npm nsfwjs 4.3.0, dist/models/mobilenet_v2',
  license: 'MIT',
});
fs.copyFileSync(path.join(process.argv[2]!, 'LICENSE'), path.join(out, 'LICENSE'));
