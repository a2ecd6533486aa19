/**
 * Switches ONNX Runtime's telemetry off. Since version 1.29 its official builds send events over HTTPS, and keep a
 * device identifier and a cache in the home directory, unless this variable is set when the native library is loaded
 * (microsoft/onnxruntime#27379). session.ts therefore imports this module before onnxruntime-node.
 */
import { isMainThread } from 'node:worker_threads';
import { EngineError } from '../errors.ts';

const variable = 'ORT_DISABLE_TELEMETRY';

// A worker thread has a copy of the environment: a variable set there does not reach the native library.
if (!isMainThread && process.env[variable] !== '1')
  throw new EngineError(
    'telemetryOn',
    `ONNX Runtime's telemetry cannot be switched off from a worker thread; set ${variable}=1 in the environment of the process before the thread starts.`,
  );

process.env[variable] = '1';
