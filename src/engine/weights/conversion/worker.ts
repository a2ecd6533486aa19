/** The thread that converts weights: one answer to each message. */
import { parentPort } from 'node:worker_threads';
import { type ErrorData, toErrorData } from '../../../error.ts';
import { type Conversion, convert } from './layers.ts';

export type Answer = { bytes: ArrayBufferView<ArrayBuffer>[] } | { error: ErrorData };

parentPort!.on('message', (conversion: Conversion) => {
  let answer: Answer;
  try {
    answer = { bytes: convert(conversion) };
  } catch (error) {
    answer = { error: toErrorData(error) };
  }
  const buffers = 'bytes' in answer ? answer.bytes.map(({ buffer }) => buffer) : [];
  parentPort!.postMessage(answer, buffers);
});
