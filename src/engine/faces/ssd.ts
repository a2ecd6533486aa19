/** The bundled detector: vladmandic/face-api `SsdMobilenetv1.locateFaces`. */
import { resizeBilinear } from '../image/bilinear.ts';
import type { Box } from '../image/box.ts';
import type { Bitmap } from '../image/pixels.ts';
import type { Size } from '../image/sizes.ts';
import { ssdGraph, ssdSize } from '../models/ssd-mobilenet.ts';
import { compile, releaseAll } from '../networks/compile.ts';
import { checkTool } from '../networks/finite.ts';
import type { Loading } from '../networks/loadable.ts';
import type { ToolSource } from '../networks/tool-source.ts';
import type { Session } from '../onnx/session.ts';
import { f32Tensor, floats } from '../onnx/tensor.ts';
import { openCheckpoint } from '../weights/checkpoint.ts';
import { ssdDialects } from '../weights/dialects/mobilenet.ts';
import { WeightSource } from '../weights/source.ts';
import { type Face, suppress } from './boxes.ts';
import type { DetectorKind, FaceDetector } from './types.ts';

const overlapLimit = 0.5;
const most = 100;

export const ssdMobilenet: DetectorKind = {
  /** 5.6 M weights in f32, and the largest layers' activations, [64, 256, 256] thrice. */
  need: () => ({ bytes: 23e6, working: 50e6 }),
  load,
};

async function* load({ files }: ToolSource, threads: number): Loading<FaceDetector> {
  const source = new WeightSource(openCheckpoint(files.weights!), ssdDialects);
  const compute = { precision: 'f32', fused: true } as const;
  const options = { device: 'cpu', threads, arena: false } as const;
  const build = () => ssdGraph(source, compute);
  const sessions = yield* compile({
    name: 'face detector',
    source,
    graphs: { ssd: { build } },
    compute,
    options,
  });
  const priors = source.floats('Output.extra_dim');
  return {
    detect: async (bitmap, confidence) => {
      const { encodings, scores } = await runSsd(sessions.ssd, bitmap);
      const who = `the face detector ${files.weights}`;
      checkTool(scores, 'A score', who);
      checkTool(encodings, 'A box', who);
      const candidates: Face[] = [];
      for (const [i, score] of scores.entries()) {
        if (score >= confidence) candidates.push({ ...decodeBox({ priors, encodings }, i, bitmap), score });
      }
      return suppress(candidates, overlapLimit, most);
    },
    release: () => releaseAll(sessions),
  };
}

/** The raw outputs for an image, which is padded with black, right and below, to a square. */
export async function runSsd(
  session: Session,
  bitmap: Bitmap,
): Promise<{ encodings: Float32Array; scores: Float32Array }> {
  const pixels = resizeBilinear(onSquare(bitmap), { width: ssdSize, height: ssdSize }, 'corner');
  const image = f32Tensor(
    pixels.map((value) => value / 127.5 - 1),
    [1, 3, ssdSize, ssdSize],
  );
  const { encodings, scores } = await session.run({ image });
  return { encodings: floats(encodings!), scores: floats(scores!) };
}

/**
 * Box `i` in pixels: its centre and size are the prior's, moved by tenths of that size and scaled by e to fifths.
 * Priors are [P, 4]: top, left, bottom, right of the square in 0 … 1; encodings [P, 4]: y, x, height, width.
 */
export function decodeBox(
  { priors, encodings }: { priors: Float32Array; encodings: Float32Array },
  i: number,
  { width, height }: Size,
): Box {
  const prior = (k: number) => priors[4 * i + k]!;
  const moved = (k: number) => encodings[4 * i + k]!;
  const [h, w] = [prior(2) - prior(0), prior(3) - prior(1)];
  const [y, x] = [prior(0) + h / 2 + (moved(0) / 10) * h, prior(1) + w / 2 + (moved(1) / 10) * w];
  const [halfHeight, halfWidth] = [(Math.exp(moved(2) / 5) * h) / 2, (Math.exp(moved(3) / 5) * w) / 2];
  const side = Math.max(width, height);
  return {
    left: (x - halfWidth) * side,
    top: (y - halfHeight) * side,
    right: (x + halfWidth) * side,
    bottom: (y + halfHeight) * side,
  };
}

function onSquare(bitmap: Bitmap): Bitmap {
  const { width, height, data } = bitmap;
  if (width === height) return bitmap;
  const side = Math.max(width, height);
  const square = new Uint8Array(side * side * 3);
  for (let y = 0; y < height; y++)
    square.set(data.subarray(y * width * 3, (y + 1) * width * 3), y * side * 3);
  return { width: side, height: side, data: square };
}
