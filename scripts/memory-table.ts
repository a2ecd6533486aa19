/** The table of docs/devices.md: the memory that FLUX.1 Kontext takes on a GPU, by the engine's own predictions. */
import { fluxShapes, realWidth } from '../bench/synthetic.ts';
import { transformerBytes } from '../src/engine/models/flux-memory.ts';
import { bytesPerWeight } from '../src/engine/networks/precision.ts';
import { queryBlocks } from '../src/engine/nn/attention.ts';

const config = realWidth(19, 38);
const precisions = ['f32', 'f16', 'int8-blocks', 'int4'] as const;

/** Edits by their tokens: 512 of text, and 4,096 for a megapixel of target or reference. */
const edits: [string, number][] = [
  ['512×512, one reference', 2560],
  ['1024×1024 from text', 4608],
  ['1024×1024, one reference', 8704],
  ['1024×1024, two references', 12_800],
];

/** T5-XXL's encoder and CLIP's text model, without tables of tokens. */
const textWeights = 4.63e9 + 0.085e9;

export function memoryTable(): string {
  const weights = [...fluxShapes(config).values()].reduce(
    (sum, shape) => sum + shape.reduce((a, b) => a * b),
    0,
  );
  const head = ['', 'weights', ...edits.map(([name]) => name), 'text encoders'];
  const rows = precisions.map((precision) => {
    const bytes = bytesPerWeight(precision, 'webgpu', false) * weights;
    const needs = edits.map(([, tokens]) => {
      const [fused, plain] = [true, false].map((fused) => {
        const blocks = queryBlocks({ heads: config.heads, tokens });
        const compute = { precision, fused, queryBlocks: blocks, waits: true };
        return (
          bytes +
          transformerBytes(config, compute, {
            device: 'webgpu',
            tokens,
            imagePromptTokens: 0,
            cachedPasses: 0,
            keptReferences: 0,
          })
        );
      });
      return `${gigabytes(fused!)} (${gigabytes(plain!)})`;
    });
    return [
      `\`${precision}\``,
      gigabytes(bytes),
      ...needs,
      gigabytes(bytesPerWeight(precision, 'webgpu', false) * textWeights),
    ];
  });
  return [head, head.map(() => '---'), ...rows].map((cells) => `| ${cells.join(' | ')} |`).join('\n');
}

const gigabytes = (bytes: number) => (bytes / 1e9).toFixed(1);

/** The page with the table in its place, between two comments. */
export function withMemoryTable(page: string): string {
  return page.replace(/(<!-- memory -->)[\s\S]*?(<!-- \/memory -->)/, `$1\n\n${memoryTable()}\n\n$2`);
}
