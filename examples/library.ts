/** The engine as a library: edits a picture with the embedded model. `node library.ts photo.png "make it night" edited.png` */
import { readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { EngineHost, plainNumerics, plainPlan } from 'retouch/engine';

const [photo = 'photo.png', prompt = 'make it night', output = 'edited.png'] = process.argv.slice(2);
const folder = fileURLToPath(new URL('model', import.meta.resolve('retouch/package.json')));
const files = { layout: 'diffusers', folder } as const;
await using engine = new EngineHost();
for await (const event of engine.run({
  ...plainPlan,
  model: { air: 'retouch:mini@1', files, cacheFolder: 'cache' },
  prompt,
  references: [await readFile(photo)],
  width: 1024,
  height: 1024,
  steps: 8,
  guidance: 2.5,
  seed: 1n,
  numerics: plainNumerics,
  output: { format: 'png', quality: 95 },
})) {
  if (event.type === 'step-end') console.log(`step ${event.index + 1} of ${event.steps}`);
  if (event.type === 'image') await writeFile(output, event.image.bytes);
}
