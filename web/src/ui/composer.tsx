import { useEffect, useRef } from 'preact/hooks';
import { fieldErrors, maskPath, prompt, references, setValue, values } from '../state/draft.ts';
import { pictures } from '../state/history.ts';
import { run } from '../state/runs.ts';
import { connectionState, model } from '../state/server.ts';
import { takeExample } from './empty.tsx';
import { Icon } from './icons.tsx';
import { finish, isPainting } from './painter.tsx';
import { References } from './references.tsx';

/** The prompt, the reference pictures and the changed parameters. */
export function Composer() {
  const field = useRef<HTMLTextAreaElement>(null);
  const errors = fieldErrors.value.fields;
  const faults = [
    ...(errors.get('positivePrompt') ?? []),
    ...(errors.get('inputs.referenceImages') ?? []),
    ...(errors.get('inputs.maskImage') ?? []),
  ];
  useEffect(() => {
    // Grows the field with its text in browsers without field-sizing.
    const { style, scrollHeight } = field.current!;
    if (CSS.supports('field-sizing', 'content')) return;
    style.height = '0';
    style.height = `${scrollHeight}px`;
  }, [prompt.value]);
  const canRun = model.value !== undefined && prompt.value.trim().length > 1;
  const submit = (event?: Event) => {
    event?.preventDefault();
    if (canRun) void (isPainting.value ? finish() : Promise.resolve()).then(() => run());
    else field.current?.focus();
  };
  const onKey = (event: KeyboardEvent) => {
    if (event.key === 'Enter' && !event.shiftKey && !event.isComposing) submit(event);
  };
  return (
    <form class="composer" onSubmit={submit} aria-label="Edit">
      <PhotographHint />
      <div class="composer-field">
        <References />
        <label class="hidden" for="prompt">
          What to change
        </label>
        <textarea
          id="prompt"
          ref={field}
          rows={1}
          maxLength={3000}
          placeholder={
            references.value.length > 0
              ? 'Say what to change'
              : 'Drop a picture and say what to change, or say what to draw'
          }
          value={prompt.value}
          aria-invalid={faults.length > 0}
          aria-describedby={faults.length > 0 ? 'prompt-error' : undefined}
          onInput={({ currentTarget }) => (prompt.value = currentTarget.value)}
          onKeyDown={onKey}
        />
        <button type="submit" class="primary run" aria-disabled={!canRun}>
          Run <Icon name="enter" />
        </button>
      </div>
      {faults.length > 0 && (
        <p class="error" id="prompt-error" role="alert">
          {faults.join(' ')}
        </p>
      )}
      <div class="chips">
        <Settings />
        <Prompts />
      </div>
    </form>
  );
}

/** A chip for each changed parameter, which resets it. */
function Settings() {
  const names = Object.keys(values.value).filter((path) => !path.startsWith('ultralytics.'));
  return (
    <>
      {names.map((path) => (
        <button key={path} type="button" class="chip set" onClick={() => reset(path)}>
          <span class="hidden">Reset </span>
          {path === maskPath
            ? 'only where painted'
            : `${path.replace(/^.*\./, '')} ${shortly(values.value[path])}`}{' '}
          <Icon name="close" />
        </button>
      ))}
    </>
  );
}

function reset(path: string): void {
  setValue(path, undefined);
  // Width and height come together.
  if (path === 'width') setValue('height', undefined);
  if (path === 'height') setValue('width', undefined);
}

function shortly(value: unknown): string {
  if (Array.isArray(value)) return `× ${value.length}`;
  if (value === true) return '';
  const text = String(value);
  return text.length > 16 ? `${text.slice(0, 15)}…` : text;
}

function Prompts() {
  const { examples = [] } = model.value ?? {};
  const hasPictures = references.value.length > 0;
  const fitting = examples.filter(({ imageURL }) => (imageURL !== undefined) === hasPictures);
  return (
    <>
      {fitting.map((example) => (
        <button
          key={example.prompt}
          type="button"
          class="chip"
          onClick={() => {
            if (!hasPictures) return void takeExample(example);
            prompt.value = example.prompt;
            document.getElementById('prompt')?.focus();
          }}
        >
          {example.prompt}
        </button>
      ))}
    </>
  );
}

function PhotographHint() {
  const { photographs, examples = [], name } = model.value ?? {};
  const isPhoto = references.value.some((id) => pictures.value.get(id)?.isPhotograph);
  if (photographs !== false || !isPhoto || connectionState.value === 'keyless') return null;
  const scene = examples.find(({ imageURL }) => imageURL);
  return (
    <div class="hint" role="status">
      <p>
        This looks like a photograph. {name} is a small model that knows its illustrated world; FLUX.1 Kontext
        edits photographs: <code>retouch pull</code>
      </p>
      {scene && (
        <button type="button" class="quiet" onClick={() => void takeExample(scene)}>
          Try an example scene
        </button>
      )}
    </div>
  );
}
