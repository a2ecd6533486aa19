/** The transformer against the reference implementation: activations, outputs, loops, true CFG, inpainting. */
import { addNoise, firstStep, keepOutside } from '../../../src/engine/latents/inpaint.ts';
import { pack } from '../../../src/engine/latents/packing.ts';
import { guidanceInput, timestepInput } from '../../../src/engine/latents/timestep.ts';
import { type FluxConfig, fluxConfig } from '../../../src/engine/models/flux-config.ts';
import { type Conditioning, Transformer } from '../../../src/engine/networks/transformer.ts';
import { sinusoid } from '../../../src/engine/nn/embedding.ts';
import { rotaryTable } from '../../../src/engine/nn/rope.ts';
import type { DeviceName } from '../../../src/engine/onnx/device.ts';
import { Session } from '../../../src/engine/onnx/session.ts';
import { type Feeds, f32Tensor, floats } from '../../../src/engine/onnx/tensor.ts';
import { euler } from '../../../src/engine/samplers/euler.ts';
import type { Velocity } from '../../../src/engine/samplers/index.ts';
import { openCheckpoint } from '../../../src/engine/weights/checkpoint.ts';
import { fluxDialects } from '../../../src/engine/weights/dialects/flux.ts';
import { WeightSource } from '../../../src/engine/weights/source.ts';
import { traceGraph } from '../flux-trace.ts';
import { type Compared, compared, type Line, type Lines, Tensors } from './check.ts';

export type FluxTolerance = { block: number; loop: number };
type Setup = { device: DeviceName; fused: boolean };

/** Reference tokens and their positions by the case's name. */
const referencesOf: Record<string, [tokens: string, ids: string][]> = {
  t2i: [],
  ref: [['ref_img', 'ref_ids']],
  ref2_offset: [
    ['ref_img', 'ref_ids'],
    ['ref2_img', 'ref2_ids_offset'],
  ],
  ref2_index: [
    ['ref_img', 'ref_ids'],
    ['ref2_img', 'ref2_ids_index'],
  ],
};

export async function* checkFlux(
  file: string,
  ioFile: string,
  label: string,
  tolerance: FluxTolerance,
  setup: Setup,
): Lines {
  const io = new Tensors(ioFile);
  const source = new WeightSource(openCheckpoint(file), fluxDialects);
  const config = fluxConfig(source);
  // The reference's tensors were computed from the unrounded weights: rounded ones are another model.
  if ([...source.checkpoint.tensors.values()].some((entry) => entry.dtype !== 'F32'))
    yield* checkRounded(source, config, io, label, setup);
  else {
    yield* checkBlocks(source, config, io, label, tolerance, setup);
    yield* checkLoops(source, config, io, label, tolerance, setup);
  }
}

async function* checkBlocks(
  source: WeightSource,
  config: FluxConfig,
  io: Tensors,
  label: string,
  tolerance: FluxTolerance,
  setup: Setup,
): Lines {
  const graph = traceGraph(source, config, { precision: 'f32', fused: setup.fused });
  const session = await Session.compile(graph, { device: setup.device, threads: 1 });
  for (const name of Object.keys(referencesOf)) {
    if (!io.has(`${name}.out`)) continue;
    const results = await runTrace(session, config, io, name, 'none');
    for (const [key, value] of Object.entries(results)) {
      const expected = `${name}.act.${key}`;
      if (io.has(expected))
        yield compared(`${label} ${expected}`, value, io.floats(expected), tolerance.block);
    }
    for (const out of [`${name}.out`, `${name}.out_all`])
      if (io.has(out)) yield sameStart(`${label} ${out}`, results.final!, io.floats(out), tolerance.block);
    const rounded = `${name}.out_all_f32_roundedt`;
    if (!io.has(rounded)) continue;
    const { final } = await runTrace(session, config, io, name, 'diffusers_bf16');
    yield sameStart(`${label} ${rounded}`, final!, io.floats(rounded), tolerance.block);
  }
  await session.release();
}

/**
 * A bf16 file is computed in f32 here and in bf16 by the reference: the two differ by the reference's own rounding,
 * about 1e-2. The bound catches a tensor read or cut wrongly, not a rounding.
 */
async function* checkRounded(
  source: WeightSource,
  config: FluxConfig,
  io: Tensors,
  label: string,
  setup: Setup,
): Lines {
  const graph = traceGraph(source, config, { precision: 'f32', fused: setup.fused });
  const session = await Session.compile(graph, { device: setup.device, threads: 1 });
  for (const name of Object.keys(referencesOf)) {
    const expected = `${name}.out_all_bf16`;
    if (!io.has(expected)) continue;
    const { final } = await runTrace(session, config, io, name, 'diffusers_bf16');
    yield sameStart(`${label} ${expected}`, final!, io.floats(expected), 3e-2);
  }
  await session.release();
}

export async function runTrace(
  session: Session,
  config: FluxConfig,
  io: Tensors,
  name: string,
  rounding: 'none' | 'diffusers_bf16',
  updates?: Feeds,
): Promise<Record<string, Float32Array>> {
  const { given } = inputs(io, config, name);
  const x = io.floats('img');
  const latents = joined([x, given.references]);
  const { cos, sin } = rotaryTable(given.ids, config.axes, config.theta);
  const half = config.hidden / config.heads / 2;
  const feeds = {
    latents: f32Tensor(latents, [latents.length / config.inChannels, config.inChannels]),
    context: given.context,
    y: given.pooled,
    t: f32Tensor(sinusoid(timestepInput(io.floats(`${name}.t`)[0]!, rounding)), [1, 256]),
    ...(config.guidance
      ? { g: f32Tensor(sinusoid(guidanceInput(io.floats(`${name}.guidance`)[0]!, rounding)), [1, 256]) }
      : {}),
    cos: f32Tensor(cos, [cos.length / half, half]),
    sin: f32Tensor(sin, [sin.length / half, half]),
  };
  const results = await session.run(updates ?? {}, feeds);
  const values = Object.entries(results).map(([key, value]) => [key, floats(value)] as const);
  return { ...Object.fromEntries(values), pe: rotationMatrices(cos, sin) };
}

/** The table in the reference's form, [[cos, -sin], [sin, cos]] for every angle. */
function rotationMatrices(cos: Float32Array, sin: Float32Array): Float32Array {
  return Float32Array.from([...cos].flatMap((c, i) => [c, -sin[i]!, sin[i]!, c]));
}

async function* checkLoops(
  source: WeightSource,
  config: FluxConfig,
  io: Tensors,
  label: string,
  tolerance: FluxTolerance,
  setup: Setup,
): Lines {
  if (!io.has('loop.out')) return;
  const transformer = await finish(
    Transformer.load(
      { source, config },
      { precision: 'f32', fused: setup.fused },
      { device: setup.device, threads: 1 },
    ),
  );
  const sigmas = Float64Array.from(io.floats('loop.timesteps'));
  const { given, negative } = inputs(io, config, 'ref');
  const model =
    (conditioning: Conditioning): Velocity =>
    (x, sigma) =>
      transformer.velocity({ x, time: 1000 * sigma }, conditioning);

  const out = await denoise(model(given), io.floats('img'), sigmas);
  yield compared(`${label} loop.out`, out, io.floats('loop.out'), tolerance.loop);

  for (const name of io.names) {
    const scale = Number(name.match(/^loop\.true_cfg([\d.]+?)\.out$/)?.[1]);
    if (!negative || Number.isNaN(scale)) continue;
    const guided: Velocity = async (x, sigma) => {
      const v = await model(given)(x, sigma);
      const against = await model(negative)(x, sigma);
      return against.map((value, i) => value + scale * (v[i]! - value));
    };
    yield compared(
      `${label} ${name}`,
      await denoise(guided, io.floats('img'), sigmas),
      io.floats(name),
      tolerance.loop,
    );
  }

  if (io.has('inpaint.out')) yield await checkInpaint(io, given, model, sigmas, label, tolerance.loop);
  await transformer.release();
}

async function denoise(
  model: Velocity,
  x: Float32Array,
  sigmas: Float64Array,
  replace: (x: Float32Array, sigma: number) => Float32Array = (x) => x,
): Promise<Float32Array> {
  let last = x;
  for await (const step of euler(model, x, { sigmas, noise: () => x })) {
    step.x = replace(step.x, step.sigma);
    last = step.x;
  }
  return last;
}

/**
 * The reference pipeline's loop, the init image being its own reference. The file does not have the strength, which
 * determines only the first step: the likeliest is tried first, and the one that fits is used.
 */
async function checkInpaint(
  io: Tensors,
  given: Conditioning,
  model: (given: Conditioning) => Velocity,
  sigmas: Float64Array,
  label: string,
  tolerance: number,
): Promise<Compared> {
  const [, channels, h, w] = io.shape('inpaint.init_latent') as [number, number, number, number];
  const shape = { channels, h, w };
  const init = pack(io.floats('inpaint.init_latent'), shape);
  const plane = io.floats('inpaint.mask_latent');
  const mask = pack(
    Float32Array.from({ length: channels * h * w }, (_, i) => plane[i % (h * w)]!),
    shape,
  );
  const noise = io.floats('img');
  const referenceIds = io.floats('img_ids').map((id, i) => (i % 3 === 0 ? 1 : id));
  const own = {
    ...given,
    references: init,
    ids: joined([io.floats('txt_ids'), io.floats('img_ids'), referenceIds]),
  };
  const steps = sigmas.length - 1;
  const likeliest = firstStep(steps, 0.75);
  const others = Array.from({ length: steps }, (_, i) => i).filter((i) => i !== likeliest);
  const lines: Compared[] = [];
  for (const first of [likeliest, ...others]) {
    const rest = sigmas.slice(first);
    const start = addNoise(init, noise, rest[0]!);
    const out = await denoise(model(own), start, rest, (x, sigma) =>
      keepOutside(x, { init, noise, mask }, sigma),
    );
    const line = compared(`${label} inpaint.out`, out, io.floats('inpaint.out'), tolerance);
    if (line.pass) return line;
    lines.push(line);
  }
  return lines.reduce((best, line) => (line.relativeL2 < best.relativeL2 ? line : best));
}

function inputs(
  io: Tensors,
  config: FluxConfig,
  name: string,
): { given: Conditioning; negative: Conditioning | undefined } {
  const references = referencesOf[name]!;
  const shared = {
    references: joined(references.map(([tokens]) => io.floats(tokens))),
    ids: joined([io.floats('txt_ids'), io.floats('img_ids'), ...references.map(([, ids]) => io.floats(ids))]),
    guidance: config.guidance ? 1000 * io.floats(`${name}.guidance`)[0]! : 0,
  };
  const text = (txt: string, vec: string) => {
    const context = io.floats(txt);
    return {
      context: f32Tensor(context, [context.length / config.contextIn, config.contextIn]),
      pooled: f32Tensor(io.floats(vec), [1, config.vecIn]),
    };
  };
  const negative = io.has('neg_txt') ? { ...shared, ...text('neg_txt', 'neg_vec') } : undefined;
  return { given: { ...shared, ...text('txt', 'vec') }, negative };
}

/** Outputs hold the target's rows, activations all of them: the shorter is the beginning of the longer. */
function sameStart(name: string, found: Float32Array, expected: Float32Array, tolerance: number): Line {
  return compared(name, found.subarray(0, expected.length), expected, tolerance);
}

function joined(parts: readonly Float32Array[]): Float32Array {
  return Float32Array.from(parts.flatMap((part) => [...part]));
}

export async function finish<T>(work: AsyncGenerator<unknown, T>): Promise<T> {
  for (;;) {
    const next = await work.next();
    if (next.done) return next.value;
  }
}
