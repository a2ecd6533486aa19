/** An operator's own detector: ONNX files as Ultralytics exports them, written here, that see faces at known places. */
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { overlap, suppress } from '../../src/engine/faces/boxes.ts';
import { faceDetector, findFaces, largestFace } from '../../src/engine/faces/detect.ts';
import { letterbox } from '../../src/engine/faces/ultralytics.ts';
import { Residents } from '../../src/engine/networks/residents.ts';
import { type Dim, symbol } from '../../src/engine/onnx/dim.ts';
import { floats } from '../../src/engine/onnx/tensor.ts';
import type { ToolSource } from '../../src/engine/plan.ts';
import { encodeDetector } from '../fixtures/onnx-detector.ts';
import { paint, picture } from '../fixtures/photos.ts';
import { bundledDetector, drain } from '../fixtures/tools.ts';

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'retouch-detectors-'));
});
afterAll(() => rm(folder, { recursive: true }));

const residents = new Residents(2 ** 31);
/** A picture twice as wide as the network's input, and not as high: it lies at half its size, 8 pixels from the top. */
const wide = paint(128, 96, (x, y) => [x, y, 100]);
const side = 64;
/** At strides of 8, 16 and 32. */
const priors = 8 ** 2 + 4 ** 2 + 2 ** 2;

let written = 0;

async function write(
  values: Float32Array,
  shape: number[],
  input: readonly Dim[] = [1, 3, side, side],
  settings: ToolSource['settings'] = {},
): Promise<ToolSource> {
  const file = join(folder, `${++written}.onnx`);
  await writeFile(file, encodeDetector(values, shape, input));
  return { air: 'test:yolo@1', architecture: 'ultralytics', files: { weights: file }, settings };
}

/** [1, rows.length, priors], zero but for the columns given. */
function columns(height: number, entries: Record<number, number[]>): Float32Array {
  const values = new Float32Array(height * priors);
  for (const [column, rows] of Object.entries(entries))
    for (const [k, value] of rows.entries()) values[k * priors + Number(column)] = value;
  return values;
}

const find = async (source: ToolSource, confidence = 0.5) =>
  findFaces(await drain(residents.acquire(faceDetector(source, 1))), wide, confidence);
const rounded = (values: object) =>
  Object.fromEntries(Object.entries(values).map(([name, value]) => [name, Math.round(value * 1000) / 1000]));

/** Centre 32, 26, size 20×10 of the input: the middle of the picture's width, twice as large, 8 pixels up. */
const inPicture = { left: 44, top: 26, right: 84, bottom: 46 };

describe('boxes', () => {
  const box = (left: number, score: number) => ({ left, top: 0, right: left + 10, bottom: 10, score });

  test('overlap by what they share of what they cover', () => {
    expect(overlap(box(0, 1), box(5, 1))).toBeCloseTo(1 / 3);
    expect(overlap(box(0, 1), box(10, 1))).toBe(0);
    expect(overlap(box(3, 1), box(3, 1))).toBe(1);
  });

  test('are left out when they overlap a better one by more than the limit', () => {
    const faces = [box(5, 0.8), box(0, 0.9), box(9, 0.7), box(30, 0.1)];
    expect(suppress(faces, 0.3, 9).map(({ score }) => score)).toEqual([0.9, 0.7, 0.1]);
    expect(suppress(faces, 0.34, 9).map(({ score }) => score)).toEqual([0.9, 0.8, 0.1]);
    expect(suppress(faces, 1, 2).map(({ score }) => score)).toEqual([0.9, 0.8]);
  });
});

test('a picture is laid in the middle of grey, as large as it fits, in 0 … 1', () => {
  const { image, ratio, left, top } = letterbox(wide, { width: side, height: side });
  expect([ratio, left, top]).toEqual([0.5, 0, 8]);
  const at = (c: number, y: number, x: number) => floats(image)[(c * side + y) * side + x]! * 255;
  expect([at(0, 7, 30), at(1, 56, 30), at(2, 0, 0)].map(Math.round)).toEqual([114, 114, 114]);
  // Between two pixels: OpenCV's centres.
  expect([at(0, 8, 10), at(1, 8 + 10, 0), at(2, 30, 30)]).toEqual([
    expect.closeTo(20.5, 3),
    expect.closeTo(20.5, 3),
    expect.closeTo(100, 3),
  ]);
});

describe('an Ultralytics export', () => {
  test('[1, 4 + classes, priors]: centres and sizes, of which the best of those that overlap count', async () => {
    const values = columns(5, {
      0: [32, 26, 20, 10, 0.9],
      1: [33, 26, 20, 10, 0.8],
      40: [10, 40, 8, 8, 0.6],
      41: [50, 40, 8, 8, 0.4],
    });
    const faces = await find(await write(values, [1, 5, priors]));
    expect(faces.map(rounded)).toEqual([
      { ...inPicture, score: 0.9 },
      { left: 12, top: 56, right: 28, bottom: 72, score: 0.6 },
    ]);
    expect(await find(await write(values, [1, 5, priors]), 0.3)).toHaveLength(3);
    const lenient = await write(values, [1, 5, priors], undefined, { overlap: 0.95 });
    expect(await find(lenient)).toHaveLength(3);
  });

  test('with several classes: the best counts, or the one that the manifest calls a face', async () => {
    const values = columns(7, { 0: [32, 26, 20, 10, 0.1, 0.2, 0.9], 40: [10, 40, 8, 8, 0.8, 0.1, 0.1] });
    const scores = async (settings: ToolSource['settings']) =>
      (await find(await write(values, [1, 7, priors], undefined, settings))).map(({ score }) =>
        score.toFixed(1),
      );
    expect(await scores({})).toEqual(['0.9', '0.8']);
    expect(await scores({ face: 0 })).toEqual(['0.8']);
    // Behind the classes: key points, which are no probabilities.
    expect(await scores({ classes: 1 })).toEqual(['0.8']);
  });

  test('[1, boxes, 6]: corners, scores and classes, finished', async () => {
    const values = new Float32Array(300 * 6);
    values.set([22, 21, 42, 31, 0.95, 0], 0);
    values.set([22, 21, 42, 31, 0.9, 0], 6);
    values.set([1, 10, 5, 14, 0.8, 1], 12);
    const faces = await find(await write(values, [1, 300, 6]));
    // Nothing is suppressed: the network has done so.
    expect(faces.map(rounded).map(({ score }) => score)).toEqual([0.95, 0.9, 0.8]);
    expect(rounded(faces[0]!)).toEqual({ ...inPicture, score: 0.95 });
    const first = await write(values, [1, 300, 6], undefined, { face: 1 });
    expect((await find(first)).map(({ score }) => score.toFixed(1))).toEqual(['0.8']);
  });

  test('[1, 64 + classes, priors]: a distribution over the distance of each side, and a logit', async () => {
    // Prior 64 + 5 is the second of the second row at stride 16: its centre is 24, 24.
    const entry = new Array(65).fill(-20);
    const put = (side: number, bin: number, value: number) => {
      entry[side * 16 + bin] = value;
    };
    // Left 0.5 between bins 0 and 1, top 3, right 2, bottom 1, in units of 16 pixels.
    put(0, 0, 20);
    put(0, 1, 20);
    put(1, 1, 20);
    put(2, 2, 20);
    put(3, 1, 20);
    entry[64] = Math.log(0.7 / 0.3);
    const others = Object.fromEntries(
      Array.from({ length: priors }, (_, i) => [i, i === 69 ? entry : [...new Array(64).fill(0), -20]]),
    );
    const faces = await find(await write(columns(65, others), [1, 65, priors]));
    // 16 … 56 across and 8 … 40 down of the input.
    expect(faces.map(rounded)).toEqual([{ left: 32, top: 0, right: 112, bottom: 64, score: 0.7 }]);
  });

  test('sizes that the file leaves open are 640', async () => {
    const values = new Float32Array(6);
    values.set([320, 200, 420, 300, 0.9, 0]);
    const open = await write(values, [1, 1, 6], [1, 3, symbol('height'), symbol('width')]);
    // 128×96 at 5 times its size, 80 pixels from the top.
    expect((await find(open)).map(rounded)).toEqual([
      { left: 64, top: 24, right: 84, bottom: 44, score: 0.9 },
    ]);
  });

  test('boxes are cut at the picture, and those outside are none', async () => {
    const values = new Float32Array(12);
    values.set([-20, 0, 20, 20, 0.9, 0], 0);
    values.set([10, 0, 20, 7, 0.9, 0], 6);
    const faces = await find(await write(values, [1, 2, 6]));
    expect(faces.map(rounded)).toEqual([{ left: 0, top: 0, right: 40, bottom: 24, score: 0.9 }]);
  });
});

describe('a detector that cannot be used says why', () => {
  const none = { air: 'test:yolo@1', architecture: 'ultralytics', settings: {} };

  test('no file', async () => {
    const missing = { ...none, files: { weights: join(folder, 'missing.onnx') } };
    await expect(find(missing)).rejects.toMatchObject({ code: 'modelFileMissing' });
  });

  test('no ONNX file', async () => {
    const file = join(folder, 'text.onnx');
    await writeFile(file, 'not a network');
    await expect(find({ ...none, files: { weights: file } })).rejects.toMatchObject({
      code: 'graphRejected',
    });
  });

  test('an input that is no picture', async () => {
    const values = new Float32Array(6);
    const odd = await write(values, [1, 1, 6], [1, 4, side, side]);
    await expect(find(odd)).rejects.toThrow(
      /takes images: float32 \[1, 4, 64, 64\]; expected one float32 image/,
    );
  });

  test('outputs in a layout that is not known', async () => {
    const odd = await write(new Float32Array(35), [1, 5, 7]);
    await expect(find(odd)).rejects.toThrow(/gives \[1, 5, 7\] for an image of 64×64; expected .*84\]/);
  });

  test('settings that are no numbers', async () => {
    const odd = await write(new Float32Array(6), [1, 1, 6], undefined, { overlap: 70 });
    await expect(find(odd)).rejects.toThrow(/settings\.overlap = 70, expected a number of 0 to 1/);
  });

  test('an architecture that is not known', async () => {
    const odd = { ...none, architecture: 'retinaface', files: { weights: 'none' } };
    await expect(find(odd)).rejects.toThrow(/'retinaface'; known are ssd-mobilenet-v1, ultralytics/);
  });

  test('memory that does not hold it', async () => {
    const little = drain(new Residents(2 ** 20).acquire(faceDetector(bundledDetector, 1)));
    await expect(little).rejects.toMatchObject({ code: 'notEnoughMemory' });
  });
});

test('the largest face of a photograph is found, and none where there is none', async () => {
  const largest = async (name: string) =>
    largestFace(await drain(residents.acquire(faceDetector(bundledDetector, 1))), await picture(name));
  expect(rounded((await largest('astronaut.jpg'))!)).toMatchObject({ left: expect.closeTo(181, -1) });
  expect(await largest('coffee.jpg')).toBeUndefined();
});
