import { signal } from '@preact/signals';
import { useEffect, useRef } from 'preact/hooks';
import { addressOf, type Picture } from '../pictures/picture.ts';
import { continueFrom, references } from '../state/draft.ts';
import { type Edit, pictures, selectedEdit, selection } from '../state/history.ts';
import { again, moreLike } from '../state/runs.ts';
import { Compare } from './compare.tsx';
import { Empty } from './empty.tsx';
import { Failure } from './failure.tsx';
import { Icon } from './icons.tsx';
import { Making } from './making.tsx';

/** What is looked at: a picture, an edit that is made, its results, or what went wrong. */
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
      <StageBar />
    </section>
  );
}

function content() {
  const at = selection.value;
  const edit = selectedEdit.value;
  if (edit) return <EditView edit={edit} index={at?.kind === 'edit' ? at.result : undefined} />;
  const picture = at && pictures.value.get(at.id);
  return picture ? <Plain picture={picture} /> : <Empty />;
}

function Plain({ picture }: { picture: Picture }) {
  return (
    <div class="frame" style={{ '--ratio': picture.width / picture.height }}>
      <img class="fill" src={addressOf(picture.blob)} alt={picture.name} draggable={false} />
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

/** As many columns as make the tiles largest. */
function columnsFor({ count, width, height }: Edit): number {
  const side = (columns: number) =>
    Math.min(stageShape.value / columns, width / height / Math.ceil(count / columns));
  const choices = Array.from({ length: count }, (_, index) => index + 1);
  return choices.reduce((best, columns) => (side(columns) > side(best) ? columns : best), 1);
}

/** Width by height of the place for pictures. */
const stageShape = signal(1.5);

/** What can be done with what is looked at. */
function StageBar() {
  const at = selection.value;
  const edit = selectedEdit.value;
  if (!at) return <div class="stage-bar" />;
  if (at.kind === 'picture')
    return (
      <div class="stage-bar">
        <PictureFacts id={at.id} />
      </div>
    );
  if (!edit || edit.results.length === 0) return <div class="stage-bar" />;
  const index = at.result ?? (edit.count === 1 ? 0 : undefined);
  const result = index === undefined ? undefined : edit.results[index];
  const picture = result && pictures.value.get(result.picture);
  const isNext = picture !== undefined && references.value[0] === picture.id;
  return (
    <div class="stage-bar">
      <p class="facts">
        {result && <span>seed {result.seed}</span>}
        {picture && <span>{`${picture.width} × ${picture.height}`}</span>}
        {edit.milliseconds !== undefined && <span>{`${(edit.milliseconds / 1000).toFixed(1)} s`}</span>}
        {edit.cache && (
          <span class="saved">
            {`cache reused ${edit.cache.reused} of ${edit.cache.evaluations}, saved ${(edit.cache.savedMilliseconds / 1000).toFixed(1)} s`}
          </span>
        )}
        {edit.faces !== undefined && (
          <span>{edit.faces === 1 ? '1 face refined' : `${edit.faces} faces refined`}</span>
        )}
        {result?.nsfw !== undefined && <span>{result.nsfw ? 'flagged as unsafe' : 'not flagged'}</span>}
        {result?.cost !== undefined && <span>{`$${result.cost}`}</span>}
      </p>
      <div class="actions">
        {edit.count > 1 && result && (
          <button
            type="button"
            class="quiet"
            onClick={() => (selection.value = { kind: 'edit', id: edit.id })}
          >
            <Icon name="grid" /> All {edit.count}
          </button>
        )}
        {edit.state !== 'running' && (
          <button
            type="button"
            class="quiet"
            onClick={() => void moreLike(edit)}
            title="The next seeds, with the same parameters"
          >
            <Icon name="spark" />
            <span>
              More<span class="wide-only"> like this</span>
            </span>
          </button>
        )}
        {picture && (
          <>
            <a class="quiet button" aria-label="Save" href={addressOf(picture.blob)} download={picture.name}>
              <Icon name="download" /> <span class="wide-only">Save</span>
            </a>
            <button
              type="button"
              class="secondary"
              aria-pressed={isNext}
              onClick={() => continueWith(picture.id)}
            >
              {isNext ? (
                'Next edit begins here'
              ) : (
                <span>
                  Continue<span class="wide-only"> from here</span>
                </span>
              )}{' '}
              <Icon name="arrow" />
            </button>
          </>
        )}
      </div>
    </div>
  );
}

function continueWith(picture: string): void {
  continueFrom(picture);
  document.getElementById('prompt')?.focus();
}

function PictureFacts({ id }: { id: string }) {
  const picture = pictures.value.get(id);
  if (!picture) return null;
  const isUsed = references.value.includes(id);
  return (
    <>
      <p class="facts">
        <span>{picture.name}</span>
        <span>{`${picture.width} × ${picture.height}`}</span>
      </p>
      <div class="actions">
        {!isUsed && (
          <button type="button" class="secondary" onClick={() => continueWith(id)}>
            Edit this picture <Icon name="arrow" />
          </button>
        )}
      </div>
    </>
  );
}
