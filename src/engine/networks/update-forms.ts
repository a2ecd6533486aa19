/** Forms of LoRAs that graphs must be compiled for. */
import { createHash } from 'node:crypto';
import type { UpdateForms } from '../weights/weights.ts';

/** Ends the key of a network: graphs compiled for LoRAs of one form serve all of that form, and no others. */
export function formsText(forms: UpdateForms): string {
  if (forms.size === 0) return '';
  const hash = createHash('sha256')
    .update(JSON.stringify([...forms]))
    .digest('hex');
  return ` for LoRAs of form ${hash.slice(0, 8)}`;
}
