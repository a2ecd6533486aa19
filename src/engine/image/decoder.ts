/**
 * Decodes untrusted images in child processes: native decoders block a thread, cannot be cancelled, and may crash. An
 * image that exceeds the time limit ends only its child process.
 */

import { type ChildProcess, fork } from 'node:child_process';
import { type ErrorData, fromErrorData, type RetouchError } from '../../error.ts';
import { programBeside } from '../../program-beside.ts';
import { EngineError } from '../errors.ts';
import type { EncodedImage } from './formats.ts';
import type { ImageInfo } from './image-codec.ts';
import type { MaskSense } from './mask.ts';

export type DecoderOptions = {
  /** The child's program; tests give a scripted one. */
  module?: URL;
  /** Images decoded at once; a decoded image may take 200 MB. */
  processes?: number;
  /** Seconds of processor time for one image. 64 megapixels take 1 to 4 in every format. */
  seconds?: number;
  /** Milliseconds of real time after which a process that does not answer is ended. */
  patience?: number;
  /** Milliseconds without work after which a process is ended. */
  idle?: number;
};

/** Owners take turns for the processes; `pixelLimit` is the engine's by default. */
export type DecodeOptions = { owner?: string; pixelLimit?: number | undefined };

type Work = { work: 'check' } | { work: 'mask'; sense: MaskSense } | { work: 'upload'; longestSide: number };
export type ToDecoder = Work & { bytes: Uint8Array; pixelLimit?: number | undefined; seconds: number };
export type FromDecoder = { value: ImageInfo | EncodedImage } | { error: ErrorData };

const defaultModule = programBeside(import.meta.url, 'decoder-child');

export class ImageDecoder {
  readonly #options: Required<DecoderOptions>;
  readonly #idle: DecoderProcess[] = [];
  /** By owner, in the order of their turns. */
  readonly #waiting = new Map<string, (() => void)[]>();
  #busy = 0;

  constructor(options: DecoderOptions = {}) {
    this.#options = {
      module: defaultModule,
      processes: 2,
      seconds: 10,
      patience: 60_000,
      idle: 60_000,
      ...options,
    };
  }

  /**
   * The properties of an image after a full decode, so that `decodeImage` will succeed with it.
   *
   * @throws RetouchError `imageUndecodable`, `imageTooLarge`, `imageTooSlow`
   */
  check(bytes: Uint8Array, options: DecodeOptions = {}): Promise<ImageInfo> {
    return this.#run({ work: 'check' }, bytes, options) as Promise<ImageInfo>;
  }

  /** `prepareUpload` of image-codec.ts. Throws as `check` does. */
  prepareUpload(bytes: Uint8Array, longestSide: number, options: DecodeOptions = {}): Promise<EncodedImage> {
    return this.#run({ work: 'upload', longestSide }, bytes, options) as Promise<EncodedImage>;
  }

  /** `prepareMask` of mask.ts. Throws as `check` does, and `maskUnusable`. */
  prepareMask(bytes: Uint8Array, sense: MaskSense, options: DecodeOptions = {}): Promise<EncodedImage> {
    return this.#run({ work: 'mask', sense }, bytes, options) as Promise<EncodedImage>;
  }

  async #run(
    work: Work,
    bytes: Uint8Array,
    { owner = '', pixelLimit }: DecodeOptions,
  ): Promise<ImageInfo | EncodedImage> {
    const { processes, seconds, patience } = this.#options;
    if (this.#busy >= processes) await this.#turn(owner);
    else this.#busy++;
    const decoder = this.#idle.pop() ?? new DecoderProcess(this.#options.module);
    try {
      return await decoder.ask({ ...work, bytes, pixelLimit, seconds }, patience);
    } finally {
      if (decoder.alive) this.#keep(decoder);
      // The slot passes to the next waiting image instead of becoming free.
      const next = this.#next();
      if (next) next();
      else this.#busy--;
    }
  }

  #turn(owner: string): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#waiting.set(owner, [...(this.#waiting.get(owner) ?? []), resolve]);
    return promise;
  }

  /** The first image of the owner whose turn it is; that owner's next turn comes after all others'. */
  #next(): (() => void) | undefined {
    for (const [owner, [first, ...rest]] of this.#waiting) {
      this.#waiting.delete(owner);
      if (rest.length > 0) this.#waiting.set(owner, rest);
      return first;
    }
    return undefined;
  }

  #keep(decoder: DecoderProcess): void {
    this.#idle.push(decoder);
    decoder.rest(this.#options.idle, () => {
      const index = this.#idle.indexOf(decoder);
      if (index >= 0) this.#idle.splice(index, 1);
    });
  }

  /** Ends the idle processes. Busy ones end with their work or with this process. */
  close(): void {
    for (const decoder of this.#idle.splice(0)) decoder.end();
  }
}

/** One child process, which handles one request at a time. */
class DecoderProcess {
  readonly #child: ChildProcess;
  #timer: NodeJS.Timeout | undefined;
  #onEnd: (how: string) => void = () => {};
  alive = true;

  constructor(module: URL) {
    this.#child = fork(module, [], {
      execArgv: [],
      serialization: 'advanced',
      stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
      env: pick(process.env, [
        'PATH',
        'LD_LIBRARY_PATH',
        'DYLD_LIBRARY_PATH',
        'TMPDIR',
        'TEMP',
        'SystemRoot',
      ]),
    });
    this.#child.once('error', (error) => this.#ended(`could not be started: ${error.message}`));
    this.#child.once('exit', (code, signal) =>
      this.#ended(`ended with ${signal ? `signal ${signal}` : `exit code ${code}`}`),
    );
  }

  ask(message: ToDecoder, patience: number): Promise<ImageInfo | EncodedImage> {
    clearTimeout(this.#timer);
    this.#child.ref();
    this.#child.channel?.ref();
    const { promise, resolve, reject } = Promise.withResolvers<ImageInfo | EncodedImage>();
    const answer = (message: FromDecoder) => {
      if ('value' in message) return resolve(message.value);
      // It ends now.
      if (message.error.code === 'imageTooSlow') this.alive = false;
      reject(fromErrorData(message.error));
    };
    this.#child.once('message', answer);
    this.#onEnd = (how) => reject(crashed(message.bytes, how));
    const late = setTimeout(() => {
      const seconds = patience / 1000;
      const text = `Decoding the image took more than ${seconds} s, which is the limit.`;
      reject(new EngineError('imageTooSlow', text, { seconds }));
      this.end();
    }, patience);
    this.#child.send(message, (error) => error && this.#ended(error.message));
    return promise.finally(() => {
      clearTimeout(late);
      this.#onEnd = () => {};
      this.#child.off('message', answer);
    });
  }

  /** Keeps the idle process for more work, without keeping this process alive. */
  rest(milliseconds: number, onEnd: () => void): void {
    this.#child.unref();
    this.#child.channel?.unref();
    this.#onEnd = onEnd;
    this.#timer = setTimeout(() => this.end(), milliseconds);
    this.#timer.unref();
  }

  end(): void {
    this.alive = false;
    clearTimeout(this.#timer);
    this.#child.kill('SIGKILL');
  }

  #ended(how: string): void {
    this.alive = false;
    this.#onEnd(how);
  }
}

function crashed(bytes: Uint8Array, how: string): RetouchError {
  const message = `The image could not be decoded from its ${bytes.length} bytes: the process that decoded it ${how}.`;
  return new EngineError('imageUndecodable', message, { bytes: bytes.length });
}

function pick(env: NodeJS.ProcessEnv, names: readonly string[]): NodeJS.ProcessEnv {
  return Object.fromEntries(names.flatMap((name) => (env[name] === undefined ? [] : [[name, env[name]]])));
}
