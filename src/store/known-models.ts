/** Models that are known by name although nobody has installed them: where they come from and what they like. */

export type KnownModel = {
  name: string;
  architecture: string;
  /** On the hub: `owner/name`. */
  repository: string;
  defaults: { steps: number; guidance: number };
  license: string;
};

export const knownModels: Readonly<Record<string, KnownModel>> = {
  'runware:106@1': {
    name: 'FLUX.1 Kontext [dev]',
    architecture: 'flux-kontext',
    repository: 'black-forest-labs/FLUX.1-Kontext-dev',
    defaults: { steps: 28, guidance: 2.5 },
    license: 'FLUX.1 [dev] Non-Commercial License',
  },
};
