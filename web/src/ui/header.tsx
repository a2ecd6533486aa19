import { serverOrigin } from '../server/client.ts';
import { chooseModel, connectionState, health, model, models } from '../state/server.ts';
import { Icon } from './icons.tsx';
import { inspectorOpen, isWide, openTab, showTab } from './inspector.tsx';
import { nextTheme, theme } from './theme.ts';

const states = {
  connecting: 'Connecting',
  open: 'Ready',
  offline: 'No answer',
  keyless: 'Needs a key',
} as const;

export function Header() {
  const current = theme.value;
  return (
    <header class="header">
      <a class="brand" href="/" aria-label="Retouch">
        <svg viewBox="0 0 32 32" aria-hidden="true">
          <circle class="brand-before" cx="16" cy="16" r="11" />
          <path class="brand-after" d="M16 5a11 11 0 0 1 0 22z" />
        </svg>
        <span>Retouch</span>
      </a>
      <ModelChoice />
      <div class="header-end">
        <button type="button" class="state" data-state={stateOf()} onClick={() => showTab('server')}>
          <i aria-hidden="true" />
          <span>{stateText()}</span>
          <span class="hidden">. What runs here</span>
        </button>
        <a class="quiet button header-docs" href={`${serverOrigin}/docs`}>
          API
        </a>
        <button
          type="button"
          class="quiet icon-only"
          aria-label={`Colours: ${current}`}
          title={`Colours: ${current}`}
          onClick={nextTheme}
        >
          <Icon name={current} />
        </button>
        {!isWide.value && (
          <button
            type="button"
            class="quiet icon-only"
            aria-label="Parameters, code and server"
            aria-expanded={inspectorOpen.value}
            onClick={() => showTab(openTab.value)}
          >
            <Icon name="sliders" />
          </button>
        )}
      </div>
    </header>
  );
}

function ModelChoice() {
  if (models.value.length === 0) return <span class="model-name placeholder">…</span>;
  if (models.value.length === 1) {
    return (
      <span class="model-name" title={model.value?.air}>
        {model.value?.name}
      </span>
    );
  }
  return (
    <label class="model-choice">
      <span class="hidden">Model</span>
      <select
        value={model.value?.air ?? ''}
        onChange={({ currentTarget }) => chooseModel(currentTarget.value)}
      >
        {models.value.map(({ air, name }) => (
          <option key={air} value={air}>
            {name}
          </option>
        ))}
      </select>
    </label>
  );
}

function stateOf(): string {
  if (connectionState.value !== 'open') return connectionState.value;
  const engine = health.value?.engine.state;
  if (engine === 'backing-off') return 'offline';
  return engine === 'busy' || (health.value?.queue.depth ?? 0) > 0 ? 'busy' : 'open';
}

function stateText(): string {
  if (connectionState.value !== 'open') return states[connectionState.value];
  if (health.value?.engine.state === 'backing-off') return 'Engine restarts';
  const depth = health.value?.queue.depth ?? 0;
  return depth > 0 ? `${depth} in the queue` : states.open;
}
