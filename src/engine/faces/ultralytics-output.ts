/** The layouts in which Ultralytics' exports give their boxes. */

import { EngineError } from '../errors.ts';
import type { Size } from '../image/sizes.ts';
import { checkTool } from '../networks/finite.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import { floats, type Tensor } from '../onnx/tensor.ts';
import type { Face } from './boxes.ts';

/** From the `settings` of the manifest. */
export type OutputSettings = {
  /** The number of classes; channels after them (key points, masks) are not read. */
  classes: number | undefined;
  /** The one that is a face; by default all of them are. */
  face: number | undefined;
  /** Boxes that overlap a better one by more are left out. */
  overlap: number;
};

type Decoded = {
  candidates: Face[];
  /** Whether the network has left out overlapping boxes itself. */
  suppressed: boolean;
};

/** Bins of the distribution over distances that a raw head gives for each side of a box. */
const bins = 16;
const strides = [8, 16, 32];

export function outputSettings({ air, settings }: ToolSource): OutputSettings {
  const number = (name: string, most: number): number | undefined => {
    const value = settings[name];
    if (value === undefined || (typeof value === 'number' && value >= 0 && value <= most)) return value;
    throw new EngineError(
      'modelConfigInvalid',
      `the manifest of ${air} has settings.${name} = ${JSON.stringify(value)}, expected a number of 0 to ${most}`,
      { air, name },
    );
  };
  return {
    classes: number('classes', 1000),
    face: number('face', 999),
    overlap: number('overlap', 1) ?? 0.7,
  };
}

/**
 * Boxes in pixels of the network's input. Layouts, N being a prior for each 8×8, 16×16 and 32×32 pixels:
 * - [1, M, 6]: left, top, right, bottom, score, class, exported with `nms=True` or from a network without suppression;
 * - [1, 4+K, N]: centre x, centre y, width, height, a probability for each class, then other outputs of the network;
 * - [1, 64+K, N]: the raw head, a distribution over the distance of each side, then a logit for each class.
 */
export function decodeOutput(
  output: Tensor,
  size: Size,
  { air, settings }: { air: string; settings: OutputSettings },
): Decoded {
  const { dims } = output;
  const values = checkTool(floats(output), 'An output', `the face detector ${air}`);
  const [, channels = 0, count = 0] = dims;
  const priors = strides.reduce((sum, s) => sum + Math.ceil(size.width / s) * Math.ceil(size.height / s), 0);
  if (dims.length === 3 && count === 6)
    return { candidates: decodeFinished(values, channels, settings), suppressed: true };
  if (dims.length === 3 && count === priors && channels > 4) {
    const raw = channels === 4 * bins + (settings.classes ?? 1);
    const candidates = raw
      ? decodeRaw(values, channels, count, size, settings)
      : decodeCentres(values, channels, count, settings);
    return { candidates, suppressed: false };
  }
  throw new EngineError(
    'modelConfigInvalid',
    `the face detector ${air} gives [${dims.join(', ')}] for an image of ${size.width}×${size.height}; expected [1, boxes, 6], [1, 4 + classes, ${priors}] or [1, ${4 * bins} + classes, ${priors}]`,
    { air, dims: [...dims] },
  );
}

function decodeFinished(values: Float32Array, count: number, { face }: OutputSettings): Face[] {
  const faces: Face[] = [];
  for (let i = 0; i < count; i++) {
    const at = (k: number) => values[6 * i + k]!;
    if (face !== undefined && at(5) !== face) continue;
    faces.push({ left: at(0), top: at(1), right: at(2), bottom: at(3), score: at(4) });
  }
  return faces;
}

function decodeCentres(
  values: Float32Array,
  channels: number,
  count: number,
  settings: OutputSettings,
): Face[] {
  return Array.from({ length: count }, (_, i) => {
    const at = (k: number) => values[k * count + i]!;
    const [x, y, w, h] = [at(0), at(1), at(2) / 2, at(3) / 2];
    const score = best((k) => at(4 + k), channels - 4, settings);
    return { left: x - w, top: y - h, right: x + w, bottom: y + h, score };
  });
}

function decodeRaw(
  values: Float32Array,
  channels: number,
  count: number,
  { width, height }: Size,
  settings: OutputSettings,
): Face[] {
  const faces: Face[] = [];
  let i = 0;
  for (const stride of strides) {
    for (let row = 0; row < Math.ceil(height / stride); row++) {
      for (let column = 0; column < Math.ceil(width / stride); column++, i++) {
        const at = (k: number) => values[k * count + i]!;
        const distance = (side: number) => stride * expectation((bin) => at(side * bins + bin));
        const [x, y] = [(column + 0.5) * stride, (row + 0.5) * stride];
        const logit = best((k) => at(4 * bins + k), channels - 4 * bins, settings);
        faces.push({
          left: x - distance(0),
          top: y - distance(1),
          right: x + distance(2),
          bottom: y + distance(3),
          score: 1 / (1 + Math.exp(-logit)),
        });
      }
    }
  }
  return faces;
}

/** The value of the face's class, or the highest of any. */
function best(
  value: (k: number) => number,
  found: number,
  { classes = found, face }: OutputSettings,
): number {
  if (face !== undefined) return face < found ? value(face) : 0;
  let highest = Number.NEGATIVE_INFINITY;
  for (let k = 0; k < Math.min(classes, found); k++) highest = Math.max(highest, value(k));
  return highest;
}

/** The mean bin number under the softmax of the bins' logits. */
function expectation(logit: (bin: number) => number): number {
  const logits = Array.from({ length: bins }, (_, bin) => logit(bin));
  const top = Math.max(...logits);
  const weights = logits.map((value) => Math.exp(value - top));
  const total = weights.reduce((a, b) => a + b, 0);
  return weights.reduce((sum, weight, bin) => sum + weight * bin, 0) / total;
}
