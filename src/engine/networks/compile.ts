/** From a checkpoint to sessions that run, in the arithmetic asked for. */
import type { Graph } from '../onnx/graph.ts';
import { Session, type SessionOptions } from '../onnx/session.ts';
import { openPrepared, type PreparedWeights } from '../weights/prepared.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';

export type Progress = { message: string; fraction: number };
/** Builds one graph of a network. */
export type GraphBuilder = (compute: Compute, prepared?: PreparedWeights) => Graph;
/** The graphs of a network by name, and where their results are wanted. */
export type Builders<Name extends string> = Record<
  Name,
  { build: GraphBuilder; results?: 'host' | 'device' }
>;

/**
 * Compiles every graph of a network, preparing its weights first where the checkpoint holds them in another form than
 * `compute` takes and `cacheFile` does not hold them yet. Yields progress before each, where it may be stopped: what is compiled by then is released.
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
  const prepared = yield* prepare(what, source, builders, compute, cacheFile);
  const sessions: Partial<Record<Name, Session>> = {};
  let complete = false;
  try {
    for (const [i, name] of names.entries()) {
      yield { message: `loading ${what}`, fraction: i / names.length };
      const { build, results = 'host' } = builders[name];
      sessions[name] = await Session.compile(build(compute, prepared), { ...options, results });
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

/** Which layers are linears is known once the graphs are built; building them in f32 reads no linear's weights. */
async function* prepare<Name extends string>(
  what: string,
  source: WeightSource,
  builders: Builders<Name>,
  { product }: Compute,
  cacheFile: string,
): AsyncGenerator<Progress, PreparedWeights | undefined> {
  if (cacheFile === '') return undefined;
  const graphs = (Object.keys(builders) as Name[]).map((name) =>
    builders[name].build({ product: 'f32', fused: true }),
  );
  const linears = graphs.flatMap((graph) => graph.linears);
  const making = openPrepared(source, linears, product, cacheFile);
  for (;;) {
    const next = making.next();
    if (next.done) return next.value;
    yield { message: `preparing ${what} for ${product}`, fraction: next.value };
  }
}
