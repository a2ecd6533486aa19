/** Compiles a checkpoint to sessions in the requested precision. */
import type { Graph } from '../onnx/graph.ts';
import { Session, type SessionOptions } from '../onnx/session.ts';
import { openPrepared, type PreparedWeights } from '../weights/prepared.ts';
import type { WeightSource } from '../weights/source.ts';
import type { Compute } from '../weights/weights.ts';
import type { Loading } from './loadable.ts';

/** Builds one graph of a network. */
type GraphBuilder = (compute: Compute, prepared?: PreparedWeights) => Graph;
/** The graphs of a network by name, and where their results are wanted. */
export type Builders<Name extends string> = Record<
  Name,
  { build: GraphBuilder; results?: 'host' | 'device' }
>;

export type LoadOptions = SessionOptions & {
  /** The cache file of converted weights; without it the stored weights are used unconverted. */
  preparedFile?: string;
};

/** @property name the network's, for messages */
export type NetworkGraphs<Name extends string> = {
  name: string;
  source: WeightSource;
  graphs: Builders<Name>;
  compute: Compute;
  options: LoadOptions;
};

/**
 * Compiles every graph of a network. Converts the weights first when the checkpoint stores another form than `compute`
 * needs and the cache file does not hold it yet. Yields progress before each graph; if the caller stops
 * there, the sessions compiled so far are released.
 */
export async function* compile<Name extends string>(
  network: NetworkGraphs<Name>,
): Loading<Record<Name, Session>> {
  const { name: title, graphs, compute, options } = network;
  const { preparedFile: _, ...sessionOptions } = options;
  const names = Object.keys(graphs) as Name[];
  const prepared = yield* prepare(network);
  const sessions: Partial<Record<Name, Session>> = {};
  let complete = false;
  try {
    for (const [i, name] of names.entries()) {
      yield { message: `loading ${title}`, fraction: i / names.length };
      const { build, results = 'host' } = graphs[name];
      sessions[name] = await Session.compile(build(compute, prepared), { ...sessionOptions, results });
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

/** The linear layers are known once the graphs are built; building them in f32 reads no linear's weights. */
async function* prepare<Name extends string>({
  name,
  source,
  graphs,
  compute: { precision },
  options: { preparedFile, threads },
}: NetworkGraphs<Name>): Loading<PreparedWeights | undefined> {
  if (preparedFile === undefined) return undefined;
  const built = (Object.keys(graphs) as Name[]).map((each) =>
    graphs[each].build({ precision: 'f32', fused: true }),
  );
  const linears = built.flatMap((graph) => graph.linears);
  const making = openPrepared(source, linears, { precision, file: preparedFile, threads });
  let complete = false;
  try {
    for (;;) {
      const next = await making.next();
      if (next.done) {
        complete = true;
        return next.value;
      }
      const { done, total } = next.value;
      yield { message: `preparing ${name} for ${precision}`, fraction: done / total, bytes: next.value };
    }
  } finally {
    // The caller stopped: threads are ended and the partial file is removed.
    if (!complete) await making.return(undefined);
  }
}
