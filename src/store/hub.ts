/**
 * A client of a Hugging Face compatible hub: the contents of a repository, and its files. Its API:
 * `/api/models/<repo>/revision/<rev>`, `/api/models/<repo>/tree/<rev>?recursive=true` and
 * `/<repo>/resolve/<rev>/<path>`, which redirects to storage.
 */

import { RetouchError } from '../error.ts';
import { openUrl, type Stream, type StreamLimits } from '../net/fetch.ts';
import type { StoreErrorCode } from './errors.ts';

export const defaultEndpoint = 'https://huggingface.co';

export type HubOptions = {
  endpoint: string;
  token: string | undefined;
  /** Whether the endpoint may be in a private network: only when the operator names it. */
  allowPrivate: boolean;
  limits?: Partial<StreamLimits>;
};

export type HubFile = {
  path: string;
  size: number;
  /** The hash of a large file is the SHA-256 of its bytes, that of a small one git's hash of a blob. */
  hash: { algorithm: 'sha256' | 'git-sha1'; hex: string };
};

export type HubRepository = {
  name: string;
  /** The commit of the requested revision, so that all files are of one version. */
  commit: string;
  license: { name: string; link: string | undefined } | undefined;
  files: HubFile[];
};

/** A repository, and the hub that files of it are downloaded from. */
export type Origin = { hub: Hub; repository: HubRepository };

const largestAnswer = 32 * 2 ** 20;
const mostPages = 1000;

export class Hub {
  readonly endpoint: string;
  readonly #token: string | undefined;
  readonly #limits: StreamLimits;

  constructor({ endpoint, token, allowPrivate, limits }: HubOptions) {
    this.endpoint = endpoint.replace(/\/+$/, '');
    this.#token = token;
    this.#limits = {
      allowPrivate,
      connectMilliseconds: 10_000,
      idleMilliseconds: 30_000,
      maxRedirects: 5,
      ...limits,
    };
  }

  /** Throws `hubNotFound`, `hubGated`, `hubRefused`. */
  async describe(name: string, revision: string, signal: AbortSignal): Promise<HubRepository> {
    const api = `${this.endpoint}/api/models/${name}`;
    const { value } = await this.#json(`${api}/revision/${encodeURIComponent(revision)}`, name, signal);
    const { sha, cardData } = (value ?? {}) as { sha?: unknown; cardData?: unknown };
    if (typeof sha !== 'string') throw this.#unreadable(name, 'no commit');
    return {
      name,
      commit: sha,
      license: licenseOf(cardData),
      files: await this.#files(`${api}/tree/${sha}?recursive=true`, name, signal),
    };
  }

  /** The bytes of a file from `offset` on, if they are still those with this etag. */
  open(
    { name, commit }: HubRepository,
    { path }: HubFile,
    { offset, etag }: { offset: number; etag: string | undefined },
    signal: AbortSignal,
  ): Promise<Stream> {
    const url = this.#urlOf(name, commit, path);
    const range: Record<string, string> = offset > 0 ? { range: `bytes=${offset}-` } : {};
    if (offset > 0 && etag !== undefined) range['if-range'] = etag;
    return this.#open(url, range, signal);
  }

  /** The first bytes of a file, at most `length`, and fewer when the connection breaks. */
  async readStart(
    { name, commit }: HubRepository,
    { path, size }: HubFile,
    length: number,
    signal: AbortSignal,
  ): Promise<Buffer> {
    const end = Math.min(length, size);
    const answer = await this.#open(this.#urlOf(name, commit, path), { range: `bytes=0-${end - 1}` }, signal);
    try {
      // A server that knows no ranges sends the whole file: reading stops where the beginning ends.
      if (answer.status !== 200 && answer.status !== 206)
        throw await this.explain(name, answer, `${path} of ${name}`);
      const pieces: Uint8Array[] = [];
      let found = 0;
      try {
        for await (const piece of answer.body) {
          pieces.push(piece);
          found += piece.length;
          if (found >= end) break;
        }
      } catch (error) {
        if (signal.aborted) throw error;
      }
      return Buffer.concat(pieces).subarray(0, end);
    } finally {
      answer.close();
    }
  }

  #urlOf(name: string, commit: string, path: string): string {
    return `${this.endpoint}/${name}/resolve/${commit}/${path.split('/').map(encodeURIComponent).join('/')}`;
  }

  /** Throws an error that says what to do about an answer with an error status. */
  async explain(name: string, { status, headers }: Stream, what = name): Promise<RetouchError> {
    const code = headers['x-error-code'];
    const page = `${this.endpoint}/${name}`;
    if (
      status === 404 ||
      code === 'RepoNotFound' ||
      code === 'RevisionNotFound' ||
      code === 'EntryNotFound'
    ) {
      const private_ =
        this.#token === undefined ? ', or it is private and needs a token (HF_TOKEN or --token)' : '';
      return hubError('hubNotFound', `${this.endpoint} has no ${what}${private_}.`);
    }
    if (status === 401 && this.#token !== undefined)
      return hubError(
        'hubGated',
        `${this.endpoint} does not accept the token: make another that may read at ${this.endpoint}/settings/tokens and give it with HF_TOKEN or --token.`,
      );
    if (status === 401)
      return hubError(
        'hubGated',
        `${name} asks for its terms to be accepted: log in at ${page}, accept them there, make a token that may read at ${this.endpoint}/settings/tokens, and run this again with HF_TOKEN=<token> or --token <token>.`,
      );
    if (status === 403)
      return hubError(
        'hubGated',
        `The account of this token has not been given access to ${name}: accept the terms at ${page} with it (some authors answer by hand), and see that the token may read gated repositories; then run this again.`,
      );
    return hubError('hubRefused', `${this.endpoint} answered for ${what} with HTTP status ${status}.`);
  }

  async #files(first: string, name: string, signal: AbortSignal): Promise<HubFile[]> {
    const files: HubFile[] = [];
    let url: string | undefined = first;
    for (let page = 0; url !== undefined && page < mostPages; page++) {
      const { value, next } = await this.#json(url, name, signal);
      if (!Array.isArray(value)) throw this.#unreadable(name, 'no list of files');
      for (const entry of value) {
        const file = readFile(entry);
        if (file === undefined) throw this.#unreadable(name, `a file ${JSON.stringify(entry).slice(0, 200)}`);
        if (file !== null) files.push(file);
      }
      url = next;
    }
    return files;
  }

  async #json(url: string, name: string, signal: AbortSignal): Promise<{ value: unknown; next?: string }> {
    const answer = await this.#open(url, {}, signal);
    try {
      if (answer.status !== 200) throw await this.explain(name, answer);
      const pieces: Uint8Array[] = [];
      let size = 0;
      for await (const piece of answer.body) {
        size += piece.length;
        if (size > largestAnswer) throw this.#unreadable(name, `more than ${largestAnswer} bytes`);
        pieces.push(piece);
      }
      const value = parse(Buffer.concat(pieces).toString('utf8'));
      // Long lists come in pages: `<url>; rel="next"`.
      const next = /<([^>]+)>;\s*rel="next"/.exec(String(answer.headers.link ?? ''))?.[1];
      return next === undefined ? { value } : { value, next: new URL(next, url).href };
    } finally {
      answer.close();
    }
  }

  #open(url: string, headers: Record<string, string>, signal: AbortSignal): Promise<Stream> {
    const authorization = this.#token === undefined ? {} : { authorization: `Bearer ${this.#token}` };
    return openUrl(url, { ...headers, ...authorization }, { ...this.#limits, signal });
  }

  #unreadable(name: string, found: string): RetouchError {
    return hubError(
      'hubRefused',
      `${this.endpoint} does not describe ${name} as a hub does; found ${found}.`,
    );
  }
}

/**
 * Null for an entry that is no file. Paths come from the hub and become names on the disk, so none may lead out of its
 * folder.
 */
function readFile(entry: unknown): HubFile | null | undefined {
  const { type, path, size, oid, lfs } = (entry ?? {}) as Record<string, unknown>;
  if (type === 'directory') return null;
  const large = (lfs ?? undefined) as { oid?: unknown; size?: unknown } | undefined;
  const bytes = large?.size ?? size;
  const hex = large ? String(large.oid).replace(/^sha256:/, '') : oid;
  const isSafe =
    typeof path === 'string' &&
    /^[^\\:\0]+$/.test(path) &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..');
  if (type !== 'file' || !isSafe || !Number.isSafeInteger(bytes) || typeof hex !== 'string') return undefined;
  return { path, size: bytes as number, hash: { algorithm: large ? 'sha256' : 'git-sha1', hex } };
}

function licenseOf(card: unknown): HubRepository['license'] {
  const { license, license_name, license_link } = (card ?? {}) as Record<string, unknown>;
  // The hub calls an unlisted licence "other" and has its name in another field.
  const name = typeof license_name === 'string' ? license_name : license;
  if (typeof name !== 'string') return undefined;
  return { name, link: typeof license_link === 'string' ? license_link : undefined };
}

function parse(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

export function hubError(code: StoreErrorCode, message: string, cause?: unknown): RetouchError {
  return new RetouchError(code, message, {}, cause === undefined ? {} : { cause });
}
