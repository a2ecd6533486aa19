/** How fast a device multiplies in each form that weights may have: one layer of FLUX.1's width, a few times each. */
import type { DeviceName } from '../device.ts';
import { symbol } from '../dim.ts';
import { Graph, type Var } from '../graph.ts';
import * as op from '../operators/index.ts';
import { Session } from '../session.ts';
import { f32Tensor } from '../tensor.ts';

/** Forms of weights, by the names of the precisions that store them so; f16 is widened unless operands of f16 are right. */
export type ProductForm = 'f32' | 'f16' | 'int8-blocks' | 'int4';
export type ProductTimes = Partial<Record<ProductForm, number>>;

const [inputs, outputs] = [3072, 3072];

/** Tokens of a product: few on a device that takes long for them, such as a software one; else enough to fill a GPU. */
const [few, many] = [64, 1024];
/** Milliseconds of a product with few tokens above which no more are tried. */
const slow = 50;

/** Milliseconds for a thousand tokens in each form, as soon as they are known. */
export async function* measureProducts(
  device: DeviceName,
  threads: number,
  { forms, half }: { forms: readonly ProductForm[]; half: boolean },
): AsyncGenerator<{ form: ProductForm; milliseconds: number }> {
  let tokens: number | undefined;
  for (const form of forms) {
    const graph = new Graph(`product in ${form}`);
    const y = product(graph.input('x', 'f32', [symbol('tokens'), inputs]), form, half);
    // The host waits for one number: copying the product would be measured too.
    graph.output('y', op.reduce('ReduceMax', op.reduce('ReduceMax', y, 1), 0));
    const session = await Session.compile(graph, { device, threads });
    // All forms are measured with as many tokens as the first.
    tokens ??= (await fastest(session, few, 1)) < slow ? many : few;
    const milliseconds = await fastest(session, tokens, tokens === many ? 5 : 1);
    await session.release();
    yield { form, milliseconds: (1000 * milliseconds) / tokens };
  }
}

/** After a run in which shaders are compiled. */
async function fastest(session: Session, tokens: number, runs: number): Promise<number> {
  const x = f32Tensor(wave(tokens * inputs), [tokens, inputs]);
  await session.run({ x });
  let least = Number.POSITIVE_INFINITY;
  for (let i = 0; i < runs; i++) {
    const begin = performance.now();
    await session.run({ x });
    least = Math.min(least, performance.now() - begin);
  }
  return least;
}

function product(x: Var, form: ProductForm, half: boolean): Var {
  const { graph } = x;
  if (form === 'f32')
    return op.matmulTransposed(x, op.constant.f32(graph, wave(outputs * inputs), [outputs, inputs]));
  if (form === 'f16') {
    const weight = op.constant.f16(graph, wave(outputs * inputs), [outputs, inputs]);
    if (half) return op.cast(op.matmulTransposed(op.cast(x, 'f16'), weight), 'f32');
    graph.widens = true;
    return op.matmulTransposed(x, op.cast(weight, 'f32'));
  }
  const perRow = inputs / op.blockSize;
  const bytes = (op.blockSize * (form === 'int4' ? 4 : 8)) / 8;
  const stored = new Uint8Array(outputs * perRow * bytes).map((_, i) => i * 31);
  const values = graph.constant('u8', [outputs, perRow, bytes], stored);
  const scale = op.constant.f32(graph, new Float32Array(outputs * perRow).fill(1e-4), [outputs, perRow]);
  return op.matmulBlocks(x, { values, scale, offset: undefined });
}

const wave = (length: number) => Float32Array.from({ length }, (_, i) => Math.sin(i * 1.37) * 0.02);
