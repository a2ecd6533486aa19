import { effect, signal } from '@preact/signals';
import { useLayoutEffect, useRef } from 'preact/hooks';
import { CodePanel } from './code-panel.tsx';
import { Icon } from './icons.tsx';
import { Parameters } from './parameters.tsx';
import { ServerPanel } from './server-panel.tsx';

const tabs = { parameters: 'Parameters', code: 'Code', server: 'Server' } as const;
export type Tab = keyof typeof tabs;

export const openTab = signal<Tab>('parameters');
/** On a narrow page the inspector is a sheet over the rest. */
export const inspectorOpen = signal(false);

const wide = matchMedia('(min-width: 64rem)');
export const isWide = signal(wide.matches);
wide.addEventListener('change', ({ matches }) => (isWide.value = matches));
effect(() => {
  if (isWide.value) inspectorOpen.value = false;
});

export function showTab(tab: Tab): void {
  openTab.value = tab;
  inspectorOpen.value = !isWide.value;
}

export function Inspector() {
  if (isWide.value) {
    return (
      <aside class="inspector" aria-label="Parameters, code and server">
        <Panels />
      </aside>
    );
  }
  return <Sheet />;
}

function Sheet() {
  const dialog = useRef<HTMLDialogElement>(null);
  const close = () => (inspectorOpen.value = false);
  useLayoutEffect(() => {
    if (inspectorOpen.value) dialog.current?.showModal();
    else dialog.current?.close();
  }, [inspectorOpen.value]);
  return (
    <dialog ref={dialog} class="sheet" aria-label="Parameters, code and server" onClose={close}>
      {inspectorOpen.value && <Panels onClose={close} />}
    </dialog>
  );
}

function Panels({ onClose }: { onClose?: () => void }) {
  const names = Object.keys(tabs) as Tab[];
  const onKey = (event: KeyboardEvent) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (by === undefined) return;
    event.preventDefault();
    openTab.value = names[(names.indexOf(openTab.value) + by + names.length) % names.length]!;
    document.getElementById(`tab-${openTab.value}`)?.focus();
  };
  return (
    <>
      <div class="tabs">
        <div role="tablist" aria-label="Panels" onKeyDown={onKey}>
          {names.map((name) => (
            <button
              key={name}
              type="button"
              role="tab"
              id={`tab-${name}`}
              aria-selected={openTab.value === name}
              aria-controls="panel"
              tabIndex={openTab.value === name ? 0 : -1}
              onClick={() => (openTab.value = name)}
            >
              {tabs[name]}
            </button>
          ))}
        </div>
        {onClose && (
          <button type="button" class="quiet icon-only" aria-label="Close" onClick={onClose}>
            <Icon name="close" />
          </button>
        )}
      </div>
      <div class="panel" id="panel" role="tabpanel" aria-labelledby={`tab-${openTab.value}`} tabIndex={-1}>
        {openTab.value === 'parameters' && <Parameters />}
        {openTab.value === 'code' && <CodePanel />}
        {openTab.value === 'server' && <ServerPanel />}
      </div>
    </>
  );
}
