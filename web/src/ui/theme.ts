/** Light, dark, or as the system has it. */

import { signal } from '@preact/signals';

const themes = ['system', 'light', 'dark'] as const;
export type Theme = (typeof themes)[number];

const name = 'retouch-theme';
const kept = themes.find((theme) => theme === localStorage.getItem(name));

export const theme = signal<Theme>(kept ?? 'system');

export function applyTheme(): void {
  if (theme.value === 'system') document.documentElement.removeAttribute('data-theme');
  else document.documentElement.dataset.theme = theme.value;
}

export function nextTheme(): void {
  theme.value = themes[(themes.indexOf(theme.value) + 1) % themes.length]!;
  localStorage.setItem(name, theme.value);
  applyTheme();
}
