import { afterEach, describe, expect, test } from 'vitest';
import { decoderGraph, encoderGraph } from '../../src/engine/models/autoencoder.ts';
import { autoencoderConfig } from '../../src/engine/models/autoencoder-config.ts';
import {
  autoencoderTinyConfig,
  decoderTinyGraph,
  encoderTinyGraph,
} from '../../src/engine/models/autoencoder-tiny.ts';
import { clipConfig, clipGraph } from '../../src/engine/models/clip.ts';
import { fluxConfig } from '../../src/engine/models/flux-config.ts';
import { segmentBuilder, segmentNames } from '../../src/engine/models/flux-segments.ts';
import { t5Config, t5Graph } from '../../src/engine/models/t5.ts';
import { Graph, type Var } from '../../src/engine/onnx/graph.ts';
import * as op from '../../src/engine/onnx/operators/index.ts';
import type { Case } from '../../src/engine/onnx/self-test/case.ts';
import { casesFor } from '../../src/engine/onnx/self-test/cases.ts';
import {
  type AttentionShape,
  askHere,
  examine,
  examineDevice,
  isFused,
  judge,
  type SelfTest,
} from '../../src/engine/onnx/self-test.ts';
import { openCheckpoint } from '../../src/engine/weights/checkpoint.ts';
import { autoencoderDialects } from '../../src/engine/weights/dialects/autoencoder.ts';
import { autoencoderTinyDialects } from '../../src/engine/weights/dialects/autoencoder-tiny.ts';
import { clipDialects } from '../../src/engine/weights/dialects/clip.ts';
import { fluxDialects } from '../../src/engine/weights/dialects/flux.ts';
import type { Dialect } from '../../src/engine/weights/dialects/index.ts';
import { t5Dialects } from '../../src/engine/weights/dialects/t5.ts';
import { WeightSource } from '../../src/engine/weights/source.ts';
import type { Compute } from '../../src/engine/weights/weights.ts';
import { goldenFile } from '../golden/data.ts';

const shapes: AttentionShape[] = [
  { headWidth: 64, tokens: 152, bias: 'none' },
  { headWidth: 64, tokens: 180, bias: 'none' },
  { headWidth: 64, tokens: 512, bias: 'heads' },
  { headWidth: 64, tokens: 77, bias: 'causal' },
];

const caseOf = (operator: string): Case =>
  [...casesFor('cpu', shapes), ...casesFor('webgpu', shapes)].find((test) => test.operator === operator)!;

describe('the self-test of the CPU', () => {
  test('finds every operator right', async () => {
    const result = await examine('cpu', { shapes });
    expect(result.report.filter((line) => !line.ok)).toEqual([]);
    expect(result).toMatchObject({ ok: true, int8: true, widened: true, half: false });
    expect(shapes.map((shape) => isFused(result, shape, false))).toEqual(shapes.map(() => true));
    expect(result.report).toHaveLength(casesFor('cpu', shapes).length);
    expect(result.reason).toBeUndefined();
  });

  test.each<[string, string, Case['build']]>([
    ['Gelu (tanh)', 'the exact form', (x) => op.gelu(x, 'none')],
    ['Softmax', 'a mask left out', (x) => op.softmax(x)],
    [
      'LayerNormalization',
      'no mean',
      (x, scale, bias) => op.add(op.rmsNorm(x, scale!, 1e-6), op.reshape(bias!, [1, 200])),
    ],
    ['SimplifiedLayerNormalization', 'a mean', (x, scale) => op.layerNorm(x, scale!, undefined, 1e-6)],
    ['Gemm (LoRA)', 'no update', (x, w) => op.matmulTransposed(x, w!)],
    ['Conv 3×3', 'cross padding', (x, w, bias) => op.conv2d(x, w!, bias, { pads: [2, 2, 0, 0] })],
    ['DepthToSpace', 'depth first', (x) => depthFirst(x)],
    [
      'RotaryEmbedding (heads of 64)',
      'one angle for all',
      (x, cos, sin) => op.rotaryEmbedding(x, sin!, cos!, 2),
    ],
    [
      'MultiHeadAttention (f32, heads of 64, 197 tokens)',
      'half as many heads',
      (q, k, v) => op.multiHeadAttention(q, k!, v!, 1, 0.125),
    ],
  ])('finds %s wrong with %s', async (operator, _, build) => {
    const { report } = await askHere([{ ...caseOf(operator), build: build as Case['build'] }], 'cpu', 1);
    expect(report).toMatchObject([{ operator, ok: false }]);
    expect(report[0]!.error).not.toBeNaN();
  });

  test('finds an answer of NaN wrong', async () => {
    const build = (x: Var) => op.sqrt(op.sub(op.mul(x, 0), 1));
    const { report } = await askHere([{ ...caseOf('Sqrt'), build }], 'cpu', 1);
    expect(report).toMatchObject([{ error: Number.NaN, ok: false }]);
  });

  test('asks nothing more of what is settled', async () => {
    const wrong = { ...caseOf('Gelu'), need: 'rotary', build: (x: Var) => op.relu(x) } as const;
    const { report } = await askHere([caseOf('Add'), wrong, { ...wrong }, caseOf('Sub')], 'cpu', 1);
    expect(report.map(({ operator, ok }) => [operator, ok])).toEqual([
      ['Add', true],
      ['Gelu', false],
      ['Sub', true],
    ]);
    expect(judge('cpu', { report }).passed).toEqual(['device']);
  });

  test('says which operator is off by how much', async () => {
    const { report } = await askHere([{ ...caseOf('Relu'), build: (x) => op.mul(x, 0) }], 'cpu', 1);
    expect(judge('cpu', { report })).toMatchObject({
      ok: false,
      reason: 'Relu is off by 1.0e+0, expected at most 0.00001',
    });
  });
});

function depthFirst(x: Var): Var {
  const [shuffled] = x.graph.emit('DepthToSpace', [x], [{ dtype: x.dtype, shape: [1, 3, 34, 44] }], {
    blocksize: 2,
    mode: 'DCR',
  });
  return shuffled!;
}

test('every operator of every network is examined', () => {
  const examined = new Set(
    [...casesFor('cpu', shapes), ...casesFor('webgpu', shapes)].flatMap(({ inputs, build }) => {
      const graph = new Graph('case');
      build(...inputs.map(({ dtype, shape }, i) => graph.input(`x${i}`, dtype, shape)));
      return graph.nodes.map((node) => node.op);
    }),
  );
  const used = new Set(networkGraphs().flatMap((graph) => graph.nodes.map((node) => node.op)));
  used.delete('Identity');
  expect([...used].filter((name) => !examined.has(name))).toEqual([]);
  expect(used.size).toBeGreaterThan(20);
});

test('products are examined in the whole tiles of FLUX.1, for which WebGPU has kernels of its own, and in odd sizes', () => {
  const isWhole = (inputs: number, outputs: number) => inputs % 128 === 0 && outputs % 16 === 0;
  const found = casesFor('webgpu').flatMap(({ operator, inputs, build }) => {
    const graph = new Graph('case');
    const out = build(...inputs.map(({ dtype, shape }, i) => graph.input(`x${i}`, dtype, shape)));
    const name = /^(Gemm|MatMul|MatMulNBits \([48] bits)\b/.exec(operator)?.[0];
    const [width, outputs] = [inputs[0]!.shape.at(-1)!, out.dim(-1) as number];
    return name ? [`${name}: ${isWhole(width, outputs) ? 'whole' : 'odd'}`] : [];
  });
  for (const name of ['Gemm', 'MatMul', 'MatMulNBits (8 bits', 'MatMulNBits (4 bits'])
    expect(found).toEqual(expect.arrayContaining([`${name}: whole`, `${name}: odd`]));
});

function networkGraphs(): Graph[] {
  const source = (file: string, dialects: readonly Dialect[]) =>
    new WeightSource(openCheckpoint(goldenFile(file)), dialects);
  const flux = source('flux_tiny.bf16.safetensors', fluxDialects);
  const clip = source('clip_tiny.safetensors', clipDialects);
  const t5 = source('t5_tiny.safetensors', t5Dialects);
  const taesd = source('taesd_tiny.safetensors', autoencoderTinyDialects);
  const autoencoders = [
    'ae_tiny.safetensors',
    'ae_patch_tiny.safetensors',
    'ae_shuffle_tiny.safetensors',
  ].map((file) => source(file, autoencoderDialects));
  const config = fluxConfig(flux);
  const computes: Compute[] = [
    { precision: 'f32', fused: true },
    { precision: 'f32', fused: false },
    { precision: 'f16', fused: false, queryBlocks: 2 },
    { precision: 'f16', half: true, fused: true },
  ];
  return computes.flatMap((compute) => {
    return [
      ...segmentNames(config).map((name) => segmentBuilder(flux, config)(name, compute)),
      clipGraph(clip, clipConfig(clip), compute),
      t5Graph(t5, t5Config(t5), compute),
      ...autoencoders.flatMap((one) =>
        [encoderGraph, decoderGraph].map((build) => build(one, autoencoderConfig(one), compute)),
      ),
      ...[encoderTinyGraph, decoderTinyGraph].map((build) =>
        build(taesd, autoencoderTinyConfig(taesd), compute),
      ),
    ];
  });
}

describe('the self-test of a GPU, in a process of its own', () => {
  const module = new URL('../fixtures/scripted-self-test.ts', import.meta.url);
  const run = (script: Record<string, string>, patience = 30_000) => {
    process.env.SELF_TEST_SCRIPT = JSON.stringify(script);
    return examine('webgpu', { shapes }, { module, patience });
  };
  afterEach(() => {
    delete process.env.SELF_TEST_SCRIPT;
  });

  const fused = (result: SelfTest, half = false) => shapes.map((shape) => isFused(result, shape, half));

  test('trusts a device that answers everything right', async () => {
    const result = await run({});
    expect(result).toMatchObject({ ok: true, half: true, widened: true, int8: false });
    expect([fused(result), fused(result, true)]).toEqual(
      [shapes, shapes].map((each) => each.map(() => true)),
    );
    // Two of the shapes have one key: their lengths are of one class.
    expect(result.report).toHaveLength(casesFor('webgpu').length + 2 * (shapes.length - 1));
  });

  test('goes on behind an operator that ends the process, and replaces it', async () => {
    const result = await run({ rotary: 'crash' });
    expect(result).toMatchObject({ ok: true, half: true });
    expect(fused(result)).toEqual([false, false, false, false]);
    const culprit = result.report.filter((line) => !line.ok);
    expect(culprit).toMatchObject([{ need: 'rotary', reason: 'the process ended with signal SIGSEGV' }]);
  });

  test('replaces the fused attention of the network that it is wrong for, and of no other', async () => {
    const result = await run({ 'attention heads of 64, 1031 tokens, bias of each head': 'wrong' });
    expect(fused(result)).toEqual([true, true, false, true]);
    expect(fused(result, true)).toEqual([true, true, true, true]);
  });

  test('does without f16 where the device has none', async () => {
    expect(await run({ half: 'wrong', widened: 'wrong' })).toMatchObject({
      ok: true,
      half: false,
      widened: false,
    });
    const half = await run({ 'half attention heads of 64, 197 tokens': 'wrong' });
    expect([half.half, fused(half), fused(half, true)]).toEqual([
      true,
      [true, true, true, true],
      [false, false, true, true],
    ]);
  });

  test('asks nothing in f16 of a device whose f16 products are wrong', async () => {
    const { report, half, widened } = await run({ half: 'wrong' });
    expect({ half, widened }).toEqual({ half: false, widened: true });
    expect(report.filter(({ need }) => need.startsWith('half attention'))).toEqual([]);
  });

  test('waits half as long for fused attention that hangs, and replaces it', async () => {
    const result = await run({ 'attention heads of 64, 197 tokens': 'hang' }, 4000);
    expect(result).toMatchObject({ ok: true, half: true });
    expect(fused(result)).toEqual([false, false, true, true]);
    expect(result.report.find((line) => !line.ok)).toMatchObject({ reason: 'no answer within 2 s' });
  });

  test('does not use a device whose plain operators end the process', async () => {
    const result = await run({ device: 'crash' });
    expect(result).toMatchObject({ ok: false, passed: [], half: false });
    expect(result.reason).toBe('Add: the process ended with signal SIGSEGV');
    expect(result.report).toHaveLength(1);
  });

  test('names the operator that a CUDA provider computes wrongly', async () => {
    process.env.SELF_TEST_SCRIPT = JSON.stringify({ LayerNormalization: 'wrong' });
    expect(await examine('cuda', { shapes }, { module, patience: 30_000 })).toMatchObject({
      ok: false,
      reason: 'LayerNormalization is off by 1.2e-1, expected at most 0.00001',
    });
    process.env.SELF_TEST_SCRIPT = JSON.stringify({ 'Conv 3×3': 'crash' });
    expect(await examine('cuda', { shapes }, { module, patience: 30_000 })).toMatchObject({
      ok: false,
      reason: 'Conv 3×3: the process ended with signal SIGSEGV',
    });
  });

  test('does not wait for a device that hangs', async () => {
    const result = await run({ device: 'hang' }, 3000);
    expect(result).toMatchObject({ ok: false, reason: 'Add: no answer within 3 s' });
  });

  test('says why there is no device, with the first warning of its loader', async () => {
    const result = await run({ device: 'missing' });
    expect(result).toMatchObject({ ok: false, report: [], reason: 'it is not there: No adapter; no loader' });
  });

  test('says of CUDA without the libraries of its provider what tells which are missing', async () => {
    await expect(examineDevice('cuda', {})).rejects.toMatchObject({
      code: 'deviceUnusable',
      message: expect.stringMatching(
        /^device cuda cannot be used: it is not there: \S*Cuda: Failed to load shared library\. 'retouch doctor --device cuda' says which of its libraries are missing$/,
      ),
    });
  });

  test.runIf(process.platform === 'linux')(
    'says so of a machine without a driver, as an error with a code',
    async () => {
      const drivers = process.env.VK_DRIVER_FILES;
      process.env.VK_DRIVER_FILES = '/nonexistent/driver.json';
      try {
        await expect(examineDevice('webgpu', {})).rejects.toMatchObject({
          code: 'deviceUnusable',
          message: expect.stringMatching(/^device webgpu cannot be used: it is not there: \S/),
        });
      } finally {
        if (drivers === undefined) delete process.env.VK_DRIVER_FILES;
        else process.env.VK_DRIVER_FILES = drivers;
      }
    },
  );
});
