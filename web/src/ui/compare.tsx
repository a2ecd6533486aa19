import { useRef, useState } from 'preact/hooks';
import { addressOf, type Picture } from '../pictures/picture.ts';

type Props = {
  before: Picture | undefined;
  after: Blob;
  /** Size of the frame, in pixels of the result. */
  width: number;
  height: number;
  alt: string;
};

/** Before/after slider: the result over its input. The divider is dragged, or moved with the arrow keys. */
export function Compare({ before, after, width, height, alt }: Props) {
  const [cut, setCut] = useState(0);
  const frame = useRef<HTMLDivElement>(null);
  const style = { '--ratio': width / height, '--cut': `${cut}%` };
  const follow = (event: PointerEvent) => {
    if (event.buttons === 0) return;
    const { left, width } = frame.current!.getBoundingClientRect();
    setCut(Math.max(0, Math.min(100, (100 * (event.clientX - left)) / width)));
  };
  const grab = (event: PointerEvent) => {
    if (event.button !== 0 || !before) return;
    frame.current!.setPointerCapture(event.pointerId);
    follow(event);
  };
  return (
    <div class="frame compare" ref={frame} style={style} onPointerDown={grab} onPointerMove={follow}>
      <img class="fill" src={addressOf(after)} alt={alt} draggable={false} />
      {before && (
        <>
          <img class="fill before" src={addressOf(before.blob)} alt="" draggable={false} />
          <input
            class="compare-range"
            type="range"
            min="0"
            max="100"
            step="1"
            value={cut}
            aria-label="How much of the picture before is shown, in percent"
            onInput={({ currentTarget }) => setCut(Number(currentTarget.value))}
          />
          <span class="compare-line" aria-hidden="true" />
          <span class="badge at-start" data-visible={cut > 12 ? '' : undefined}>
            Before
          </span>
          <span class="badge at-end" data-visible={cut < 88 && cut > 0 ? '' : undefined}>
            After
          </span>
        </>
      )}
    </div>
  );
}
