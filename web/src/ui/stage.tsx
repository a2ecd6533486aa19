import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { addressOf, type Picture } from '../pictures/picture.ts';
import { type Edit, pictures, selectedEdit, selection } from '../state/history.ts';
import { again } from '../state/runs.ts';
import { Compare } from './compare.tsx';
import { Empty } from './empty.tsx';
import { Failure } from './failure.tsx';
import { Icon } from './icons.tsx';
import { Making } from './making.tsx';
import { isPainting, MaskOverlay, maskedPicture, Painter, PainterBar } from './painter.tsx';
import { StageBar } from './stage-bar.tsx';

/** The selected item: a picture, a running edit, its results or its error. */
export function Stage() {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const observer = new ResizeObserver(([entry]) => {
      const { width, height } = entry!.contentRect;
      stageShape.value = width / Math.max(1, height);
    });
    observer.observe(box.current!);
    return () => observer.disconnect();
  }, []);
  return (
    <section class="stage" aria-label="Picture">
      <div class="stage-box" ref={box}>
        {content()}
      </div>
      {isPainting.value && maskedPicture() ? <PainterBar /> : <StageBar />}
    </section>
  );
}

function content() {
  const masked = maskedPicture();
  if (isPainting.value && masked) return <Painter key={masked.picture.id} {...masked} />;
  const at = selection.value;
  const edit = selectedEdit.value;
  if (edit) return <EditView edit={edit} index={at?.kind === 'edit' ? at.result : undefined} />;
  const picture = at && pictures.value.get(at.id);
  return picture ? <Plain picture={picture} /> : <Empty />;
}

function Plain({ picture }: { picture: Picture }) {
  const masked = maskedPicture();
  return (
    <div class="frame" style={{ '--ratio': picture.width / picture.height }}>
      <img class="fill" src={addressOf(picture.blob)} alt={picture.name} draggable={false} />
      {masked?.mask && masked.picture.id === picture.id && <MaskOverlay mask={masked.mask} />}
    </div>
  );
}

function EditView({ edit, index }: { edit: Edit; index: number | undefined }) {
  const before = pictures.value.get(edit.references[0] ?? '');
  if (edit.state === 'failed') return <Failure edit={edit} before={before} />;
  const one = index ?? (edit.count === 1 && edit.results.length === 1 ? 0 : undefined);
  const result = one === undefined ? undefined : edit.results[one];
  if (result) {
    const after = pictures.value.get(result.picture);
    if (!after) return <Gone edit={edit} />;
    const { width, height } = after;
    return (
      <Compare
        key={after.id}
        before={before}
        after={after.blob}
        {...{ width, height }}
        alt={edit.prompt || 'Result'}
      />
    );
  }
  if (edit.count > 1) return <Grid edit={edit} />;
  if (edit.state === 'running') return <Making edit={edit} before={before} />;
  return <Cancelled edit={edit} before={before} />;
}

function Gone({ edit }: { edit: Edit }) {
  return (
    <div class="message">
      <Icon name="picture" />
      <h2>The server no longer has this picture</h2>
      <p>
        Its time was over before this browser fetched it. The same request with the same seed makes it again.
      </p>
      <button type="button" class="primary" onClick={() => void again(edit)}>
        Make it again
      </button>
    </div>
  );
}

function Cancelled({ edit, before }: { edit: Edit; before: Picture | undefined }) {
  return (
    <>
      {before && <Plain picture={before} />}
      <div class="message over">
        <h2>Cancelled</h2>
        <button type="button" class="primary" onClick={() => void again(edit)}>
          Run it again
        </button>
      </div>
    </>
  );
}

function Grid({ edit }: { edit: Edit }) {
  const tiles = Array.from({ length: edit.count }, (_, index) => edit.results[index]);
  const columns = columnsFor(edit);
  const pick = (index: number) => (selection.value = { kind: 'edit', id: edit.id, result: index });
  const rows = Math.ceil(edit.count / columns);
  const style = { '--columns': columns, '--rows': rows, '--ratio': edit.width / edit.height };
  return (
    <>
      <ul class="grid" style={style} aria-label={`${edit.results.length} of ${edit.count} results`}>
        {tiles.map((result, index) => {
          const picture = result && pictures.value.get(result.picture);
          return (
            <li key={result?.imageUUID ?? index}>
              {picture ? (
                <button type="button" class="tile" onClick={() => pick(index)}>
                  <img src={addressOf(picture.blob)} alt="" />
                  <span class="badge" data-visible="">
                    <span class="hidden">Result with the seed </span>
                    {result.seed}
                  </span>
                </button>
              ) : (
                <span class="tile waiting" />
              )}
            </li>
          );
        })}
      </ul>
      {edit.state === 'running' && <Making edit={edit} before={undefined} isSmall />}
    </>
  );
}

/** The number of columns that makes the tiles largest. */
function columnsFor({ count, width, height }: Edit): number {
  const side = (columns: number) =>
    Math.min(stageShape.value / columns, width / height / Math.ceil(count / columns));
  const choices = Array.from({ length: count }, (_, index) => index + 1);
  return choices.reduce((best, columns) => (side(columns) > side(best) ? columns : best), 1);
}

/** Aspect ratio of the stage. */
const stageShape = signal(1.5);
