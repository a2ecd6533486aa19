import { render } from 'preact';
import { openDraft } from './state/draft.ts';
import { openHistory } from './state/history.ts';
import { openConnection } from './state/runs.ts';
import { App } from './ui/app.tsx';
import { applyTheme } from './ui/theme.ts';

applyTheme();
// The history first: what is drawn then stays where it is.
await openHistory();
openDraft();
openConnection();
render(<App />, document.getElementById('app')!);
