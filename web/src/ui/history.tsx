import { useEffect, useRef } from 'preact/hooks';
import { addressOf } from '../pictures/picture.ts';
import { redo, references, takeUp, undo, undone } from '../state/draft.ts';
import {
  type Entry,
  entries,
  forget,
  isKept,
  lineage,
  parentOf,
  pictures,
  selectedEdit,
  selection,
} from '../state/history.ts';
import { live } from '../state/live.ts';
import { progressOf } from '../state/progress.ts';
import { model } from '../state/server.ts';
import { Icon } from './icons.tsx';
import { isPainting } from './painter.tsx';

/** Every picture and edit of this browser, oldest first. The ancestors of the selected one are highlighted. */
export function History() {
  const list = useRef<HTMLOListElement>(null);
  const count = entries.value.length;
  useEffect(() => {
    if (list.current) list.current.scrollLeft = list.current.scrollWidth;
  }, [count]);
  return (
    <section class="history" aria-label="History">
      <div class="history-actions">
        <button
          type="button"
          class="quiet icon-only"
          aria-label="Undo"
          title="Undo (Ctrl Z)"
          disabled={!selectedEdit.value}
          onClick={undo}
        >
          <Icon name="undo" />
        </button>
        <button
          type="button"
          class="quiet icon-only"
          aria-label="Redo"
          title="Redo (Ctrl Shift Z)"
          disabled={undone.value.length === 0}
          onClick={redo}
        >
          <Icon name="redo" />
        </button>
      </div>
      {count === 0 ? (
        <p class="history-empty">Edits are kept here, in this browser.</p>
      ) : (
        <ol class="strip" ref={list}>
          {entries.value.map((entry, index) => (
            <Thumb key={entry.id} entry={entry} before={entries.value[index - 1]} />
          ))}
        </ol>
      )}
      {!isKept.value && (
        <p class="history-empty">This browser keeps nothing: a reload forgets the history.</p>
      )}
    </section>
  );
}

function Thumb({ entry, before }: { entry: Entry; before: Entry | undefined }) {
  const isSelected = selection.value?.id === entry.id;
  const select = () => {
    if (isSelected) return;
    isPainting.value = false;
    if (entry.kind === 'edit') {
      takeUp(entry.edit);
      selection.value = { kind: 'edit', id: entry.id };
    } else {
      selection.value = { kind: 'picture', id: entry.id };
      references.value = [entry.id];
    }
  };
  const start = entry.kind === 'edit' ? parentOf(entry.edit) : undefined;
  const isBranch = entry.kind === 'edit' && before !== undefined && start?.id !== before.id;
  return (
    <li
      class="thumb"
      data-kind={entry.kind}
      data-branch={isBranch ? '' : undefined}
      data-lit={lineage.value.has(entry.id) ? '' : undefined}
    >
      <button
        type="button"
        aria-current={isSelected}
        aria-label={nameOf(entry)}
        title={nameOf(entry)}
        onClick={select}
      >
        <Face entry={entry} />
      </button>
      <button
        type="button"
        class="thumb-remove"
        aria-label={`Forget: ${nameOf(entry)}`}
        tabIndex={isSelected ? 0 : -1}
        onClick={() => void forget(entry)}
      >
        <Icon name="close" />
      </button>
    </li>
  );
}

function Face({ entry }: { entry: Entry }) {
  if (entry.kind === 'picture') {
    const picture = pictures.value.get(entry.id);
    return picture ? <img src={addressOf(picture.thumbnail)} alt="" draggable={false} /> : null;
  }
  const { edit } = entry;
  const shown = edit.results
    .map(({ picture }) => pictures.value.get(picture))
    .filter((picture) => picture !== undefined);
  const first = shown[0] ?? pictures.value.get(edit.references[0] ?? '');
  const steps = Number(edit.values.steps ?? model.value?.defaultSteps ?? 28);
  return (
    <>
      {first && (
        <img class={shown[0] ? '' : 'dim'} src={addressOf(first.thumbnail)} alt="" draggable={false} />
      )}
      {edit.count > 1 && <span class="thumb-count">{edit.count}</span>}
      {edit.state === 'failed' && <Icon name="warning" />}
      {edit.state === 'running' && (
        <progress
          max="1"
          value={progressOf(live.value.get(edit.id), edit.count, steps).fraction}
          aria-label="Progress"
        />
      )}
    </>
  );
}

const states = { running: ', being made', done: '', failed: ', failed', cancelled: ', cancelled' } as const;

function nameOf(entry: Entry): string {
  if (entry.kind === 'picture') return pictures.value.get(entry.id)?.name ?? 'A picture';
  return `${entry.edit.prompt || 'No words'}${states[entry.edit.state]}`;
}
