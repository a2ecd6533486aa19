import { render } from 'preact';
import { openDraft } from './state/draft.ts';
import { openHistory } from './state/history.ts';
import { openConnection } from './state/runs.ts';
import { App } from './ui/app.tsx';
import { applyTheme } from './ui/theme.ts';

applyTheme();
// The history is loaded first, so that the layout does not shift later.
await openHistory();
openDraft();
openConnection();
render(<App />, document.getElementById('app')!);
