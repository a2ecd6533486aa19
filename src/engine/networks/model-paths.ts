import path from 'node:path';

/** The file or folder of each component. */
export type ModelPaths = {
  transformer: string;
  autoencoder: string;
  clip: string;
  t5: string;
  tokenizer: string;
  tokenizer2: string;
};

/** A diffusers folder, or single files by component (BFL/ComfyUI split). */
export type ModelFiles = { layout: 'diffusers'; folder: string } | ({ layout: 'split' } & ModelPaths);

export function modelPaths(files: ModelFiles): ModelPaths {
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
