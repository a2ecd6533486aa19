import { useLayoutEffect, useRef } from 'preact/hooks';
import { apiKey } from '../server/client.ts';
import { reconnect } from '../state/runs.ts';
import { connectionState } from '../state/server.ts';

/** Asks for the API key when the server requires one, or refuses the stored one. */
export function KeyDialog() {
  const dialog = useRef<HTMLDialogElement>(null);
  const isNeeded = connectionState.value === 'keyless';
  useLayoutEffect(() => {
    if (isNeeded) dialog.current?.showModal();
    else dialog.current?.close();
  }, [isNeeded]);
  const wasRefused = apiKey.get() !== undefined;
  const submit = (event: SubmitEvent) => {
    event.preventDefault();
    const key = String(new FormData(event.currentTarget as HTMLFormElement).get('key') ?? '').trim();
    if (key === '') return;
    apiKey.set(key);
    connectionState.value = 'connecting';
    reconnect();
  };
  return (
    <dialog
      ref={dialog}
      class="dialog"
      aria-labelledby="key-title"
      onCancel={(event) => event.preventDefault()}
    >
      <form onSubmit={submit}>
        <h2 id="key-title">This server asks for an API key</h2>
        <p>
          Whoever runs it makes one with <code>retouch keys add</code>. The key stays in this browser and goes
          to this server alone.
        </p>
        <label class="field">
          <span class="field-name">API key</span>
          <input
            name="key"
            type="password"
            autocomplete="off"
            spellcheck={false}
            required
            aria-invalid={wasRefused}
            aria-describedby={wasRefused ? 'key-error' : undefined}
          />
        </label>
        {wasRefused && (
          <p class="error" id="key-error" role="alert">
            The server does not take the key that was given. Check it, or ask for another.
          </p>
        )}
        <button type="submit" class="primary">
          Use this key
        </button>
      </form>
    </dialog>
  );
}
