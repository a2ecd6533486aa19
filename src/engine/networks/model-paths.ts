import path from 'node:path';
import type { ModelSource } from './components.ts';

type Files = ModelSource['files'];
export type ModelPaths = Omit<Extract<Files, { layout: 'split' }>, 'layout'>;

/** The file or folder of each component. */
export function modelPaths(files: Files): ModelPaths {
  if (files.layout === 'split') {
    const { layout: _, ...paths } = files;
    return paths;
  }
  const at = (name: string) => path.join(files.folder, name);
  return {
    transformer: at('transformer'),
    autoencoder: at('vae'),
    clip: at('text_encoder'),
    t5: at('text_encoder_2'),
    tokenizer: at('tokenizer'),
    tokenizer2: at('tokenizer_2'),
  };
}
