/**
 * Makes model/detectors/face/model.safetensors from the npm package @vladmandic/face-api 1.7.15 (MIT):
 *
 *   npm pack @vladmandic/face-api@1.7.15 && tar xf vladmandic-face-api-1.7.15.tgz
 *   node model/conversion/face-detector.ts package
 */
import fs from 'node:fs';
import path from 'node:path';
import { convert, type Spec, writeSafetensors } from './affine.ts';

const folder = path.join(process.argv[2]!, 'model');
const out = new URL('../detectors/face/', import.meta.url).pathname;

const manifest = JSON.parse(
  fs.readFileSync(path.join(folder, 'ssd_mobilenetv1_model-weights_manifest.json'), 'utf8'),
) as { weights: Spec[] }[];
const data = fs.readFileSync(path.join(folder, 'ssd_mobilenetv1_model.bin'));
// The rest are constants of the original graph's operators.
const isWeight = (name: string) => /^(MobilenetV1|Prediction)\/.*(weights|biases|bn_offset|BatchNorm\/\w+)$/.test(name);
const tensors = convert(
  manifest.flatMap(({ weights }) => weights),
  data,
  (name) => isWeight(name) || name === 'Output/extra_dim',
);
writeSafetensors(path.join(out, 'model.safetensors'), tensors, {
  source: 'npm @vladmandic/face-api 1.7.15, model/ssd_mobilenetv1_model',
  license: 'MIT',
});
fs.copyFileSync(path.join(process.argv[2]!, 'LICENSE'), path.join(out, 'LICENSE'));
