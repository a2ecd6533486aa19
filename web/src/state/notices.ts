/** Messages for the user: shown for a while, and read out by screen readers. */

import { signal } from '@preact/signals';

export const notice = signal<string | undefined>(undefined);
/** Progress for screen readers, in few words. */
export const announcement = signal('');

const showTime = 8_000;
let timer: ReturnType<typeof setTimeout> | undefined;

export function say(text: string): void {
  notice.value = text;
  clearTimeout(timer);
  timer = setTimeout(() => (notice.value = undefined), showTime);
}

export function dismiss(): void {
  clearTimeout(timer);
  notice.value = undefined;
}
