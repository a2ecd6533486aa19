/** The embedded model's attention on the CPU, for images of every shape and number of references. */
import { expect, it } from 'vitest';
import { preferredSizes } from '../../src/engine/image/sizes.ts';
import { computeOf, openModelFiles } from '../../src/engine/networks/opened-model.ts';
import { imageTokens, textTokens } from '../../src/engine/networks/token-counts.ts';
import { plainNumerics } from '../../src/engine/plan.ts';
import { ModelStore } from '../../src/store/models.ts';

it('is fused at all of them, so that no image compiles another transformer', async () => {
  const store = await ModelStore.scan({ models: 'none', cache: 'none' });
  const limits = { threads: 2, memoryLimit: 4 * 2 ** 30 };
  const model = await openModelFiles(store.find('retouch:mini@1')!.source, plainNumerics, limits);
  const { components } = model;
  for (const size of preferredSizes)
    for (const images of [1, 2, 3, 5]) {
      const tokens = textTokens(components) + images * imageTokens(components, size);
      expect(computeOf(model, 'transformer', tokens), `${tokens} tokens`).toMatchObject({ fused: true });
    }
});
