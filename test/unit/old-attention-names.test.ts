import { expect, it } from 'vitest';
import { Checkpoint, openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import { goldenFile } from '../golden/data.ts';

const older: Readonly<Record<string, string>> = {
  to_q: 'query',
  to_k: 'key',
  to_v: 'value',
  'to_out.0': 'proj_attn',
};

it("an autoencoder with diffusers' old names of the attention's layers is the same autoencoder", () => {
  const checkpoint = openCheckpoint(goldenFile('ae_tiny.diffusers.safetensors'));
  const renamed = [...checkpoint.tensors].map(([name, entry]) => {
    const old = name.replace(
      /attentions\.0\.(to_q|to_k|to_v|to_out\.0)\./,
      (_, layer) => `attentions.0.${older[layer]}.`,
    );
    return [old, { ...entry, name: old }] as const;
  });
  expect(renamed.filter(([name]) => /\.(query|key|value|proj_attn)\./.test(name))).toHaveLength(16);
  const plain = new WeightSource(checkpoint, autoencoderDialects);
  const source = new WeightSource(new Checkpoint(checkpoint.path, new Map(renamed)), autoencoderDialects);
  for (const side of ['encoder', 'decoder'])
    for (const layer of ['q', 'k', 'v', 'proj_out'])
      for (const leaf of ['weight', 'bias']) {
        const name = `${side}.mid.attn_1.${layer}.${leaf}`;
        expect(source.floats(name)).toEqual(plain.floats(name));
      }
});
