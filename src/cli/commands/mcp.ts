/** `retouch mcp`: an MCP server over standard input and output, which belong to the protocol: logs go to stderr. */

import { type Config, engineOptions } from '../../config.ts';
import { LocalEngines } from '../../engine/process/local-engines.ts';
import { RetouchError } from '../../error.ts';
import { createLog } from '../../log.ts';
import { openBridge } from '../../mcp/bridge.ts';
import { connectHere, connectTo, standardStreams } from '../../mcp/connect.ts';
import { mcpError } from '../../mcp/errors.ts';
import type { ServerInfo } from '../../mcp/server.ts';
import { assemble } from '../../server/assemble.ts';
import { scanModels } from '../../server/engines.ts';
import { openBucket } from '../../server/open-assets.ts';
import { type FolderLock, lockFolder } from '../../store/db.ts';
import { readVersion } from '../../version.ts';
import type { Command } from '../command.ts';
import { type Arguments, cliError, parseArguments } from '../flags/arguments.ts';
import { configFrom, engineSettings, settingFlags } from '../flags/settings.ts';

const flags = {
  root: {
    about:
      'Folder in and below which files may be read and pictures written; may be given several times. ' +
      'By default the folders that the client offers.',
    value: 'FOLDER',
    multiple: true,
  },
  url: {
    about: 'A running server that makes the pictures; by default this process runs its own engine.',
    value: 'URL',
  },
  key: { about: 'API key of that server; by default the first of RETOUCH_API_KEYS.', value: 'KEY' },
} as const;

const allFlags = {
  ...flags,
  ...(settingFlags([...engineSettings, 'log-level']) as Record<string, never>),
};

export const mcp: Command = {
  summary: 'Serve agents: an MCP server on standard input and output.',
  usage: ['mcp [--root FOLDER…]', 'mcp --url http://127.0.0.1:7100 [--key KEY] [--root FOLDER…]'],
  details: [
    'Programs such as Claude Desktop start it by themselves: docs/guide/clients.md has their configurations. It ends ' +
      'when its standard input ends.',
  ],
  flags: allFlags,
  async run(words) {
    const { values, positionals }: Arguments<typeof flags> = parseArguments(words, allFlags);
    if (positionals.length > 0)
      throw cliError('argumentUnexpected', `mcp takes flags only; found '${positionals[0]}'.`);
    const info = { name: 'retouch', version: await readVersion() };
    const config = configFrom(values);
    const { root: roots = [], url, key } = values;
    if (url !== undefined && !/^https?:\/\//i.test(url))
      throw cliError('flagInvalid', `--url is '${url}'; expected an http or https URL.`);
    const behind =
      url === undefined ? await openOwn(config, info) : openRemote(url, key ?? config.apiKeys[0]);
    const outer = standardStreams();
    const { closed, close } = await openBridge({ inner: behind.transport, outer, roots, info }).catch(
      behind.explain,
    );
    process.once('SIGTERM', () => void close());
    process.once('SIGINT', () => void close());
    // The transport does not report the end of its input.
    process.stdin.once('end', () => void close());
    await closed;
    await behind.close();
    // An image may still be written to a client that has closed the pipe.
    process.exit(0);
  },
};

type Behind = Pick<Awaited<ReturnType<typeof openOwn>>, 'transport' | 'close'> & {
  explain(error: Error): never;
};

async function openOwn(config: Config, info: ServerInfo) {
  const log = createLog(config.logLevel);
  const lock = lockAlone(config);
  const engines = new LocalEngines({
    log: (line) => log.warn(line),
    ...engineOptions({ ...config, redis: '' }),
  });
  const [models, bucket] = [await scanModels(config), await openBucket(config)];
  const parts = await assemble({ config, log, lock, engines, models, bucket });
  await parts.start();
  const close = async () => {
    parts.service.close();
    // A client waits less for the end of this process than one step of a large model takes.
    const stopped = parts.queue.close(0);
    await engines.close();
    await stopped;
    await parts.outbox.close();
    parts.close();
  };
  const explain = (error: Error): never => {
    throw error;
  };
  return { transport: await connectHere(parts, info), close, explain };
}

function lockAlone({ dataDir, port }: Config): FolderLock {
  try {
    return lockFolder(dataDir);
  } catch (error) {
    if (!(error instanceof RetouchError) || error.code !== 'dataDirectoryInUse') throw error;
    const hint = `--url http://127.0.0.1:${port} lets that server make the pictures`;
    throw new RetouchError(error.code, `${error.message} Or ${hint}.`, {}, { cause: error });
  }
}

function openRemote(url: string, key: string | undefined): Behind {
  const explain = (error: Error): never => {
    const message = `The server at ${url} cannot be used: ${error.message}`;
    throw mcpError('serverUnreachable', message.slice(0, 500), error);
  };
  return { transport: connectTo(url, key), close: async () => {}, explain };
}
