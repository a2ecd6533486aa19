import { render } from 'preact';
import { get } from '../server/client.ts';
import { applyTheme } from '../ui/theme.ts';
import { type OpenApi, Reference } from './reference.tsx';

applyTheme();
const root = document.getElementById('app')!;
try {
  render(<Reference document={await get<OpenApi>('/openapi.json')} />, root);
} catch (error) {
  render(
    <p class="message" role="alert">
      {(error as Error).message} Start it with <code>retouch serve</code> and load this page again.
    </p>,
    root,
  );
}
