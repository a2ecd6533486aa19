/**
 * An operator's own detector: an ONNX file exported by Ultralytics (`yolo export format=onnx`), YOLOv8 to YOLO26.
 * Steps: ultralytics `data/augment.py` LetterBox, `utils/nms.py` non_max_suppression.
 */
import fs from 'node:fs';
import { EngineError } from '../errors.ts';
import { resizeBilinear } from '../image/bilinear.ts';
import type { Bitmap } from '../image/pixels.ts';
import type { Size } from '../image/sizes.ts';
import { ForeignSession } from '../onnx/session.ts';
import { f32Tensor } from '../onnx/tensor.ts';
import type { Face } from './boxes.ts';
import { suppress } from './boxes.ts';
import type { DetectorKind } from './types.ts';
import { decodeOutput, type OutputSettings, outputSettings } from './ultralytics-output.ts';

/** Side of the image where the file leaves it open. */
const defaultSide = 640;
const grey = 114;
const most = 300;

export const ultralytics: DetectorKind = {
  need: ({ files }) => {
    const bytes = fs.existsSync(files.weights!) ? fs.statSync(files.weights!).size : 0;
    // Activations: the first layers of YOLOv8m, the middle size, have 48 channels at half the side.
    return { bytes, working: 4 * 8 * 48 * (defaultSide / 2) ** 2 };
  },
  load: async function* (source, threads) {
    const { weights } = source.files;
    if (!fs.existsSync(weights!))
      throw new EngineError('modelFileMissing', `no file ${weights}`, { path: weights });
    yield { message: 'loading face detector', fraction: 0 };
    const detector = { air: source.air, settings: outputSettings(source) };
    const session = await ForeignSession.open(weights!, threads);
    return {
      detect: (bitmap, confidence) => detect(session, detector, { bitmap, confidence }),
      release: () => session.release(),
    };
  },
};

async function detect(
  session: ForeignSession,
  detector: { air: string; settings: OutputSettings },
  { bitmap, confidence }: { bitmap: Bitmap; confidence: number },
): Promise<Face[]> {
  const [, , high, wide] = session.input;
  const known = (side: number | string | undefined) =>
    typeof side === 'number' && side > 0 ? side : defaultSide;
  const size = { width: known(wide), height: known(high) };
  const { image, ratio, left, top } = letterbox(bitmap, size);
  const [output] = await session.run(image);
  const { candidates, suppressed } = decodeOutput(output!, size, detector);
  const likely = candidates.filter(({ score }) => score >= confidence);
  const faces = suppressed ? likely : suppress(likely, detector.settings.overlap, most);
  return faces.map((face) => ({
    score: face.score,
    left: (face.left - left) / ratio,
    top: (face.top - top) / ratio,
    right: (face.right - left) / ratio,
    bottom: (face.bottom - top) / ratio,
  }));
}

/** The image in 0 … 1, scaled to fit and centred on grey; its place there and its scale. */
export function letterbox(bitmap: Bitmap, { width, height }: Size) {
  const ratio = Math.min(width / bitmap.width, height / bitmap.height);
  const inner = {
    width: Math.max(Math.round(bitmap.width * ratio), 1),
    height: Math.max(Math.round(bitmap.height * ratio), 1),
  };
  const half = (space: number) => Math.max(Math.round(space / 2 - 0.1), 0);
  const [left, top] = [half(width - inner.width), half(height - inner.height)];
  const pixels = resizeBilinear(bitmap, inner, 'half-pixel');
  const planar = new Float32Array(3 * width * height).fill(grey / 255);
  for (let c = 0; c < 3; c++) {
    for (let y = 0; y < inner.height; y++) {
      for (let x = 0; x < inner.width; x++) {
        const value = pixels[(c * inner.height + y) * inner.width + x]!;
        planar[(c * height + top + y) * width + left + x] = value / 255;
      }
    }
  }
  return { image: f32Tensor(planar, [1, 3, height, width]), ratio, left, top };
}
