import { useState } from 'preact/hooks';
import { addressOf } from '../pictures/picture.ts';
import { maxReferences, moveReference, references, removeReference } from '../state/draft.ts';
import { pictures } from '../state/history.ts';
import { Icon } from './icons.tsx';
import { PictureButtons } from './picture-buttons.tsx';

/** The reference pictures. Their order changes by dragging or with the arrow keys. */
export function References() {
  const [dragged, setDragged] = useState<string>();
  const ids = references.value;
  const onKey = (event: KeyboardEvent, id: string) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by !== undefined) {
      event.preventDefault();
      moveReference(id, by);
    } else if (event.key === 'Delete' || event.key === 'Backspace') removeReference(id);
  };
  return (
    <div class="references">
      {ids.length > 0 && (
        <ul aria-label="Pictures to edit">
          {ids.map((id, index) => {
            const picture = pictures.value.get(id);
            if (!picture) return null;
            return (
              <li
                key={id}
                class="reference"
                draggable
                data-dragged={dragged === id ? '' : undefined}
                onDragStart={() => setDragged(id)}
                onDragEnd={() => setDragged(undefined)}
                onDragEnter={() =>
                  dragged && dragged !== id && moveReference(dragged, index - ids.indexOf(dragged))
                }
                onDragOver={(event) => dragged && event.preventDefault()}
              >
                <button
                  type="button"
                  class="reference-picture"
                  aria-label={`Picture ${index + 1} of ${ids.length}: ${picture.name}. Arrow keys move it, Delete removes it.`}
                  onKeyDown={(event) => onKey(event, id)}
                >
                  <img src={addressOf(picture.thumbnail)} alt="" draggable={false} />
                  {ids.length > 1 && <span class="reference-number">{index + 1}</span>}
                </button>
                <button
                  type="button"
                  class="reference-remove"
                  aria-label={`Remove picture ${index + 1}`}
                  tabIndex={-1}
                  onClick={() => removeReference(id)}
                >
                  <Icon name="close" />
                </button>
              </li>
            );
          })}
        </ul>
      )}
      {ids.length < maxReferences && <PictureButtons isCompact />}
    </div>
  );
}
