/** Models that `retouch pull` knows by name: their repositories and defaults. */

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
