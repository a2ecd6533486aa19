/** From a checkpoint to sessions that run, in the arithmetic asked for. */
import type { Graph } from './onnx/graph.ts';
import { Session, type SessionOptions } from './onnx/session.ts';
import { openQuantized, type QuantizedWeights } from './weights/quantized.ts';
import type { WeightSource } from './weights/source.ts';
import type { Compute } from './weights/weights.ts';

export type Progress = { message: string; fraction: number };
/** Builds one graph of a network. */
export type GraphBuilder = (compute: Compute, int8?: QuantizedWeights) => Graph;
/** The graphs of a network by name, and where their results are wanted. */
export type Builders<Name extends string> = Record<
  Name,
  { build: GraphBuilder; results?: 'host' | 'device' }
>;

/**
 * Compiles every graph of a network, making its eight-bit weights first when `compute` asks for them and `cacheFile`
 * does not hold them. Yields progress before each, where it may be stopped: what is compiled by then is released.
 *
 * @param what the network's name, for messages
 */
export async function* compile<Name extends string>(
  what: string,
  source: WeightSource,
  builders: Builders<Name>,
  compute: Compute,
  options: SessionOptions,
  cacheFile: string,
): AsyncGenerator<Progress, Record<Name, Session>> {
  const names = Object.keys(builders) as Name[];
  const int8 = compute.product === 'int8' ? yield* quantize(what, source, builders, cacheFile) : undefined;
  const sessions: Partial<Record<Name, Session>> = {};
  let complete = false;
  try {
    for (const [i, name] of names.entries()) {
      yield { message: `loading ${what}`, fraction: i / names.length };
      const { build, results = 'host' } = builders[name];
      sessions[name] = await Session.compile(build(compute, int8), { ...options, results });
    }
    complete = true;
    return sessions as Record<Name, Session>;
  } finally {
    if (!complete) await releaseAll(sessions);
  }
}

export async function releaseAll(sessions: Partial<Record<string, Session>>): Promise<void> {
  for (const session of Object.values(sessions)) await session?.release();
}

/** Which layers are linears is known once the graphs are built; building them in f32 reads no weights. */
async function* quantize<Name extends string>(
  what: string,
  source: WeightSource,
  builders: Builders<Name>,
  cacheFile: string,
): AsyncGenerator<Progress, QuantizedWeights> {
  const graphs = (Object.keys(builders) as Name[]).map((name) =>
    builders[name].build({ product: 'f32', fused: true }),
  );
  const linears = graphs.flatMap((graph) => graph.loraSlots).filter((slot) => !slot.precise);
  const making = openQuantized(source, linears, cacheFile);
  for (;;) {
    const next = making.next();
    if (next.done) return next.value;
    yield { message: `quantising ${what} to int8`, fraction: next.value };
  }
}
