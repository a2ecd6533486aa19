import { signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { addressOf, type Picture, readPicture } from '../pictures/picture.ts';
import { maskPath, references, setValue, values } from '../state/draft.ts';
import { keepPicture, pictures } from '../state/history.ts';
import { Icon } from './icons.tsx';

/** Whether the mask of the first picture is being painted. */
export const isPainting = signal(false);

/** Width of the brush, in percent of the picture's longer side. */
const brush = signal(10);
/** The canvas under the brush. The mask is white where it is opaque, black elsewhere. */
let painted: HTMLCanvasElement | undefined;

/** The first reference and its mask, if it has one. */
export function maskedPicture(): { picture: Picture; mask: Picture | undefined } | undefined {
  const picture = pictures.value.get(references.value[0] ?? '');
  return picture && { picture, mask: pictures.value.get(String(values.value[maskPath] ?? '')) };
}

/** The first picture under a brush: only the painted area is edited. */
export function Painter({ picture, mask }: { picture: Picture; mask: Picture | undefined }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  useLayoutEffect(() => {
    painted = canvas.current!;
    if (mask) void showMask(painted, mask);
    return () => {
      painted = undefined;
    };
  }, [picture.id]);
  const last = useRef<[number, number] | undefined>(undefined);
  const paint = (event: PointerEvent) => {
    const { width, height } = canvas.current!;
    const { left, top, width: shown } = canvas.current!.getBoundingClientRect();
    const scale = width / shown;
    const [x, y] = [(event.clientX - left) * scale, (event.clientY - top) * scale];
    const context = canvas.current!.getContext('2d')!;
    context.strokeStyle = getComputedStyle(canvas.current!).color;
    context.lineWidth = (brush.value / 100) * Math.max(width, height);
    context.lineCap = context.lineJoin = 'round';
    context.beginPath();
    context.moveTo(...(last.current ?? [x, y]));
    context.lineTo(x, y);
    context.stroke();
    last.current = [x, y];
  };
  const begin = (event: PointerEvent) => {
    if (event.button !== 0) return;
    canvas.current!.setPointerCapture(event.pointerId);
    last.current = undefined;
    paint(event);
  };
  return (
    <div class="frame painting" style={{ '--ratio': picture.width / picture.height }}>
      <img class="fill" src={addressOf(picture.blob)} alt={picture.name} draggable={false} />
      <canvas
        ref={canvas}
        class="fill"
        width={picture.width}
        height={picture.height}
        onPointerDown={begin}
        onPointerMove={(event) => event.buttons === 1 && paint(event)}
      />
    </div>
  );
}

export function PainterBar() {
  return (
    <div class="stage-bar">
      <label class="brush">
        <span>Brush</span>
        <input
          type="range"
          min="2"
          max="40"
          value={brush.value}
          onInput={({ currentTarget }) => (brush.value = Number(currentTarget.value))}
        />
      </label>
      <div class="actions">
        <button type="button" class="quiet" onClick={() => painted && clear(painted)}>
          <Icon name="reset" /> Clear
        </button>
        <button type="button" class="secondary" onClick={() => void finish()}>
          Edit only here
        </button>
      </div>
    </div>
  );
}

/** The mask, tinted, over its picture. */
export function MaskOverlay({ mask }: { mask: Picture }) {
  return <i class="fill mask" aria-hidden="true" style={{ '--mask': `url("${addressOf(mask.blob)}")` }} />;
}

function clear(canvas: HTMLCanvasElement): void {
  canvas.getContext('2d')!.clearRect(0, 0, canvas.width, canvas.height);
}

async function showMask(canvas: HTMLCanvasElement, { blob }: Picture): Promise<void> {
  const context = canvas.getContext('2d')!;
  const bitmap = await createImageBitmap(blob);
  context.drawImage(bitmap, 0, 0, canvas.width, canvas.height);
  const pixels = context.getImageData(0, 0, canvas.width, canvas.height);
  // White becomes opaque, black transparent.
  const { data } = pixels;
  for (let at = 0; at < data.length; at += 4) data[at + 3] = data[at]!;
  context.putImageData(pixels, 0, 0);
  context.globalCompositeOperation = 'source-in';
  context.fillStyle = getComputedStyle(canvas).color;
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.globalCompositeOperation = 'source-over';
}

/** Turns the painted area into the mask; without a painted pixel there is no mask. */
export async function finish(): Promise<void> {
  if (painted) {
    const { width, height } = painted;
    const sheet = new OffscreenCanvas(width, height);
    const context = sheet.getContext('2d')!;
    context.drawImage(painted, 0, 0);
    const isEmpty = context.getImageData(0, 0, width, height).data.every((value) => value === 0);
    context.globalCompositeOperation = 'source-in';
    context.fillStyle = '#fff';
    context.fillRect(0, 0, width, height);
    context.globalCompositeOperation = 'destination-over';
    context.fillStyle = '#000';
    context.fillRect(0, 0, width, height);
    const mask = isEmpty ? undefined : await readPicture(await sheet.convertToBlob(), 'mask.png');
    setValue(maskPath, mask && keepPicture(mask).id);
  }
  isPainting.value = false;
  document.getElementById('prompt')?.focus();
}
