import { useEffect } from 'preact/hooks';
import { addressOf, type Picture } from '../pictures/picture.ts';
import type { Edit } from '../state/history.ts';
import { live } from '../state/live.ts';
import { announcement } from '../state/notices.ts';
import { progressOf } from '../state/progress.ts';
import { cancel } from '../state/runs.ts';
import { connectionState, model } from '../state/server.ts';
import { Icon } from './icons.tsx';

type Props = { edit: Edit; before: Picture | undefined; isSmall?: boolean };

/** A running edit: preview, progress and cancel. */
export function Making({ edit, before, isSmall }: Props) {
  const state = live.value.get(edit.id);
  const steps = Number(edit.values.steps ?? model.value?.defaultSteps ?? 28);
  const { fraction, text } = progressOf(state, edit.count, steps);
  const shown =
    connectionState.value === 'offline'
      ? 'The server does not answer; the edit goes on when it is back'
      : text;
  const active = [...(state?.images.values() ?? [])].find(({ status }) => status === 'processing');
  // Screen readers hear of phases, not of every step.
  const stage = shown.replace(/step.*/, 'making the picture');
  useEffect(() => {
    announcement.value = stage;
  }, [stage]);
  return (
    <>
      {!isSmall && (
        <div
          class="frame making"
          style={{ '--ratio': edit.width / edit.height }}
          data-early={active?.preview ? undefined : ''}
        >
          {before && <img class="fill" src={addressOf(before.blob)} alt="" draggable={false} />}
          {active?.preview && (
            <img class="fill preview" src={addressOf(active.preview)} alt="Preview" draggable={false} />
          )}
        </div>
      )}
      <div class="progress">
        <div class="progress-text">
          <span>{shown}</span>
          <button type="button" class="quiet" onClick={() => cancel(edit.id)}>
            <Icon name="close" /> Cancel
            <kbd>Esc</kbd>
          </button>
        </div>
        <progress max="1" value={fraction} aria-label="Progress of the edit" />
      </div>
    </>
  );
}
