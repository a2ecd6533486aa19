import { signal } from '@preact/signals';
import { useMemo, useState } from 'preact/hooks';
import { codeOf, type Language, languages } from '../request/code.ts';
import { buildRequest } from '../request/request.ts';
import { apiKey, newUuid, serverOrigin } from '../server/client.ts';
import { stringifyWire } from '../server/wire.ts';
import { maskPath, prompt, references, values } from '../state/draft.ts';
import { pictures } from '../state/history.ts';
import { uploaded } from '../state/runs.ts';
import { fields, model } from '../state/server.ts';
import { Icon } from './icons.tsx';
import { maskedPicture } from './painter.tsx';

const language = signal<Language>('curl');

/** The request of the draft as code. Pictures are named by their UUIDs on the server. */
export function CodePanel() {
  const [note, setNote] = useState<string>();
  const named = references.value.map(
    (id) => pictures.value.get(id)?.uuid ?? `(upload of ${pictures.value.get(id)?.name ?? 'a picture'})`,
  );
  const guides = (values.value.ipAdapters ?? []) as { guideImages?: string[] }[];
  const ipAdapters = guides.map((adapter) => ({
    ...adapter,
    guideImages: (adapter.guideImages ?? []).map((id) => pictures.value.get(id)?.uuid ?? id),
  }));
  const masked = maskedPicture()?.mask;
  const mask = masked ? { [maskPath]: masked.uuid ?? '(upload of the mask)' } : {};
  const request = buildRequest(fields.value, {
    model: model.value?.air ?? '',
    prompt: prompt.value,
    references: named,
    values: { ...values.value, ...(ipAdapters.length > 0 ? { ipAdapters } : {}), ...mask },
  });
  // A new UUID for each request, stable while the request does not change.
  const shown = stringifyWire(request);
  const taskUUID = useMemo(newUuid, [shown]);
  const { taskType, ...parameters } = request;
  const text = codeOf(
    language.value,
    { taskType, taskUUID, ...parameters },
    {
      origin: serverOrigin,
      needsKey: apiKey.get() !== undefined,
      fileNames: references.value.map((id) => pictures.value.get(id)?.name ?? 'picture.png'),
    },
  );
  const isUploaded = references.value.every((id) => pictures.value.get(id)?.uuid);
  const upload = () =>
    void Promise.all(references.value.map(uploaded)).catch((error: Error) => setNote(error.message));
  const copy = async () =>
    setNote((await copyText(text)) ? 'Copied' : 'The browser lets no page copy here: select the text.');
  return (
    <div class="code-panel">
      <div class="segments" role="radiogroup" aria-label="Language">
        {(Object.keys(languages) as Language[]).map((name) => (
          <label key={name}>
            <input
              type="radio"
              name="language"
              checked={language.value === name}
              onChange={() => (language.value = name)}
            />
            <span>{languages[name]}</span>
          </label>
        ))}
      </div>
      <div class="code">
        <pre>
          <code>{text}</code>
        </pre>
        <button type="button" class="secondary copy" onClick={() => void copy()}>
          <Icon name="copy" /> Copy
        </button>
      </div>
      <p class="fine" role="status">
        {note}
      </p>
      {!isUploaded && language.value !== 'cli' && (
        <p class="fine">
          The pictures are uploaded when you run the edit.{' '}
          <button type="button" class="link" onClick={upload}>
            Upload them now
          </button>
        </p>
      )}
      <p class="fine">
        Every parameter at its default is left out. A picture that this server made, dropped on this page,
        brings its parameters back.
      </p>
    </div>
  );
}

async function copyText(text: string): Promise<boolean> {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    return false;
  }
}
