/** A detector or classifier whose numbers are not finite is an error, and never the verdict that there is nothing. */
import { closeSync, copyFileSync, mkdtempSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { faceDetector, findFaces } from '../../src/engine/faces/detect.ts';
import type { ToolSource } from '../../src/engine/plan.ts';
import { contentClassifier, isUnsafe } from '../../src/engine/safety/check.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { encodeDetector } from '../fixtures/onnx-detector.ts';
import { paint } from '../fixtures/photos.ts';
import { bundledClassifier, bundledDetector, drain } from '../fixtures/tools.ts';

const folder = mkdtempSync(join(tmpdir(), 'retouch-tools-'));
afterAll(() => rmSync(folder, { recursive: true }));

const picture = paint(64, 64, (x, y) => [x, y, 100]);

/** The tool with the first number of a tensor that is not a bias set to NaN, in whatever float type it is stored. */
function damaged(tool: ToolSource, tensor: RegExp): ToolSource {
  const file = join(folder, `${tool.architecture}.safetensors`);
  copyFileSync(tool.files.weights!, file);
  const entry = [...openCheckpoint(file).tensors.values()].find(({ name }) => tensor.test(name))!;
  const fd = openSync(entry.file, 'r+');
  writeSync(
    fd,
    Buffer.alloc(4, 0xff),
    0,
    entry.length / entry.shape.reduce((a, b) => a * b, 1),
    entry.offset,
  );
  closeSync(fd);
  return { ...tool, files: { weights: file } };
}

it('a classifier with NaN in its weights does not call a picture safe', async () => {
  const source = damaged(bundledClassifier, /./);
  const classifier = await drain(contentClassifier(source, 1).load());
  await expect(isUnsafe(classifier, picture)).rejects.toMatchObject({
    code: 'outputNotFinite',
    message: `The verdict of the safety classifier ${source.files.weights} is not finite (it has NaN): its weights are damaged.`,
  });
  await classifier.release();
});

it('a detector with NaN in its weights does not find that there is no face', async () => {
  const detector = await drain(faceDetector(damaged(bundledDetector, /conv/i), 1).load());
  await expect(findFaces(detector, picture, 0.5)).rejects.toMatchObject({ code: 'outputNotFinite' });
  await detector.release();
});

it("an operator's detector whose output has NaN does not find that there is no face", async () => {
  const weights = join(folder, 'odd.onnx');
  const values = Float32Array.of(0, 0, 9, 9, Number.NaN, 0);
  writeFileSync(weights, encodeDetector(values, [1, 1, 6], [1, 3, 64, 64]));
  const source = { air: 'me:odd@1', architecture: 'ultralytics', files: { weights }, settings: {} };
  const detector = await drain(faceDetector(source, 1).load());
  await expect(findFaces(detector, picture, 0.5)).rejects.toMatchObject({
    code: 'outputNotFinite',
    message: 'An output of the face detector me:odd@1 is not finite (it has NaN): its weights are damaged.',
  });
  await detector.release();
});
