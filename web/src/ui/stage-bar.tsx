import { addressOf } from '../pictures/picture.ts';
import { continueFrom, references } from '../state/draft.ts';
import { pictures, selectedEdit, selection } from '../state/history.ts';
import { moreLike } from '../state/runs.ts';
import { Icon } from './icons.tsx';
import { isPainting, maskedPicture } from './painter.tsx';

/** Facts and actions for the selected picture or result. */
export function StageBar() {
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
            {isNext && <MaskButton />}
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
        {references.value[0] === id && <MaskButton />}
        {!isUsed && (
          <button type="button" class="secondary" onClick={() => continueWith(id)}>
            Edit this picture <Icon name="arrow" />
          </button>
        )}
      </div>
    </>
  );
}

function MaskButton() {
  const isMasked = maskedPicture()?.mask !== undefined;
  return (
    <button type="button" class="quiet" onClick={() => (isPainting.value = true)}>
      <Icon name="brush" /> {isMasked ? 'Change the mask' : 'Paint where to edit'}
    </button>
  );
}
