import { type Dialect, prefixed } from './index.ts';

export const t5Numbered: Dialect = prefixed('numbered', 'text_encoder_2.', 'shared.weight');
