import { signal } from '@preact/signals';
import { useEffect } from 'preact/hooks';
import { redo, takeFiles, undo } from '../state/draft.ts';
import { selectedEdit } from '../state/history.ts';
import { announcement, dismiss, notice } from '../state/notices.ts';
import { cancel } from '../state/runs.ts';
import { loadHealth } from '../state/server.ts';
import { Composer } from './composer.tsx';
import { Header } from './header.tsx';
import { History } from './history.tsx';
import { Icon } from './icons.tsx';
import { Inspector } from './inspector.tsx';
import { KeyDialog } from './key-dialog.tsx';
import { Stage } from './stage.tsx';

const isDragged = signal(false);
const healthInterval = 10_000;

export function App() {
  useEffect(listen, []);
  return (
    <div class="app" data-dragged={isDragged.value ? '' : undefined}>
      <a class="skip" href="#prompt">
        Skip to the sentence
      </a>
      <Header />
      <main class="work">
        <Stage />
        <Composer />
        <History />
      </main>
      <Inspector />
      <KeyDialog />
      {notice.value && (
        <div class="notice" role="status">
          <span>{notice.value}</span>
          <button type="button" class="quiet icon-only" aria-label="Dismiss" onClick={dismiss}>
            <Icon name="close" />
          </button>
        </div>
      )}
      <p class="hidden" aria-live="polite">
        {announcement.value}
      </p>
      <div class="drop-veil" aria-hidden="true">
        <span>Drop the picture anywhere</span>
      </div>
    </div>
  );
}

/** Drops, pastes and key presses anywhere on the page. */
function listen(): () => void {
  const stop = new AbortController();
  const options = { signal: stop.signal };
  const hasFiles = ({ dataTransfer }: DragEvent) => dataTransfer?.types.includes('Files') ?? false;
  let depth = 0;
  addEventListener(
    'dragenter',
    (event) => {
      if (!hasFiles(event)) return;
      depth += 1;
      isDragged.value = true;
    },
    options,
  );
  addEventListener(
    'dragleave',
    (event) => {
      if (!hasFiles(event)) return;
      depth -= 1;
      if (depth <= 0) isDragged.value = false;
    },
    options,
  );
  addEventListener('dragover', (event) => hasFiles(event) && event.preventDefault(), options);
  addEventListener(
    'drop',
    (event) => {
      depth = 0;
      isDragged.value = false;
      if (!hasFiles(event)) return;
      event.preventDefault();
      void takeFiles([...event.dataTransfer!.files]);
    },
    options,
  );
  addEventListener(
    'paste',
    (event) => {
      const files = [...(event.clipboardData?.files ?? [])];
      if (files.length === 0) return;
      event.preventDefault();
      void takeFiles(files);
    },
    options,
  );
  addEventListener('keydown', onKey, options);
  const timer = setInterval(() => document.hidden || void loadHealth(), healthInterval);
  void loadHealth();
  return () => {
    stop.abort();
    clearInterval(timer);
  };
}

function onKey(event: KeyboardEvent): void {
  const edit = selectedEdit.value;
  const inDialog = document.querySelector('dialog[open]') !== null;
  if (event.key === 'Escape' && edit?.state === 'running' && !inDialog) cancel(edit.id);
  // In a text field these keys undo typing.
  const inText = event.target instanceof HTMLElement && event.target.matches('input, textarea, select');
  if (inText || !(event.ctrlKey || event.metaKey) || event.key.toLowerCase() !== 'z') return;
  event.preventDefault();
  if (event.shiftKey) redo();
  else undo();
}
