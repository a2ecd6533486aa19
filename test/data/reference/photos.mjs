/**
 * Expected numbers of the bundled face detector and content classifier, from the packages their weights come from, on
 * TensorFlow.js's plain CPU backend (minutes). In an empty folder outside the repository:
 *
 *   npm install --legacy-peer-deps --ignore-scripts @vladmandic/face-api@1.7.15 nsfwjs@4.3.0 @tensorflow/tfjs@4.22.0 \
 *     @tensorflow/tfjs-backend-wasm@4.22.0 buffer@6.0.3 sharp@0.35.5
 *   cp REPOSITORY/test/data/reference/photos.mjs . && node photos.mjs REPOSITORY/test/data/photos
 *
 * Reads the pictures of that folder, writes faces.json and content.json there.
 */
import fs from 'node:fs';
import { createRequire } from 'node:module';
import path from 'node:path';

// Their ES modules do not load in Node.
const require = createRequire(import.meta.url);
const tf = require('@tensorflow/tfjs');
const faceapi = require('@vladmandic/face-api/dist/face-api.node-wasm.js');
const { load } = require('nsfwjs/core');
const { MobileNetV2Model } = require('nsfwjs/models/mobilenet_v2');
const sharp = require('sharp');

const folder = process.argv[2];
await tf.setBackend('cpu');

/** Pictures that need no file: smooth in x and y, of a size no network takes. */
const synthetic = {
  'synthetic:gradient': [97, 61, (x, y) => [x * 2.6, y * 4, 128]],
  'synthetic:checks': [224, 224, (x, y) => ((x >> 4) + (y >> 4)) % 2 ? [230, 120, 110] : [20, 40, 60]],
  'synthetic:skin': [300, 200, (x, y) => [226 + 20 * Math.sin(x / 9), 170 + 20 * Math.cos(y / 7), 140]],
};

function draw([width, height, color]) {
  const data = new Uint8Array(width * height * 3);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++) for (const value of color(x, y)) data[at++] = Math.min(Math.floor(value), 255);
  return { width, height, data };
}

async function read(name) {
  const image = sharp(path.join(folder, name)).removeAlpha().raw();
  const { data, info } = await image.toBuffer({ resolveWithObject: true });
  return { width: info.width, height: info.height, data };
}

const pictures = {};
for (const name of fs.readdirSync(folder).filter((file) => file.endsWith('.jpg')).sort()) pictures[name] = await read(name);
for (const [name, recipe] of Object.entries(synthetic)) pictures[name] = draw(recipe);

const toTensor = ({ width, height, data }) => tf.tensor3d(Int32Array.from(data), [height, width, 3], 'int32');
const round = (value, digits = 7) => Number(value.toPrecision(digits));

const net = new faceapi.SsdMobilenetv1();
const weights = path.join(path.dirname(require.resolve('@vladmandic/face-api/package.json')), 'model');
const [{ weights: specs, paths }] = JSON.parse(
  fs.readFileSync(path.join(weights, 'ssd_mobilenetv1_model-weights_manifest.json'), 'utf8'),
);
const bytes = fs.readFileSync(path.join(weights, paths[0]));
const buffer = bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length);
net.loadFromWeightMap(tf.io.decodeWeights(buffer, specs));

const faces = {};
for (const [name, picture] of Object.entries(pictures)) {
  const tensor = toTensor(picture);
  const { boxes, scores } = await net.forward(tensor);
  const all = await boxes[0].array();
  const values = await scores[0].data();
  // The highest scores and, so that the low ones are seen too, every 97th.
  const best = [...values.keys()].sort((a, b) => values[b] - values[a]).slice(0, 40);
  const sample = [...values.keys()].filter((i) => i % 97 === 0);
  const rows = [...new Set([...best, ...sample])].map((i) => [i, round(values[i]), ...all[i].map((v) => round(v))]);
  const found = await net.locateFaces(tensor, { minConfidence: 0.1 });
  faces[name] = {
    size: [picture.width, picture.height],
    /** index, score, top, left, bottom, right (of the square input) */
    raw: rows,
    /** score, x, y, width, height in pixels */
    found: found.map(({ score, box }) => [score, box.x, box.y, box.width, box.height].map((v) => round(v))),
  };
  console.log(name, faces[name].found);
}
fs.writeFileSync(path.join(folder, 'faces.json'), `${JSON.stringify(faces)}\n`);

const classifier = await load('MobileNetV2', { modelDefinitions: [MobileNetV2Model] });
const content = {};
for (const [name, picture] of Object.entries(pictures)) {
  const classes = await classifier.classify(toTensor(picture));
  content[name] = Object.fromEntries(
    classes.map(({ className, probability }) => [className, round(probability)]).sort(),
  );
  console.log(name, content[name]);
}
fs.writeFileSync(path.join(folder, 'content.json'), `${JSON.stringify(content, null, 1)}\n`);
