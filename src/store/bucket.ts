/** One bucket of a store that speaks S3's REST API: requests signed with AWS Signature Version 4. */

import { createHash } from 'node:crypto';
import { AwsV4Signer } from 'aws4fetch';
import { RetouchError } from '../error.ts';
import { type Exchanged, exchangeWith } from '../net/fetch.ts';
import type { StoreErrorCode } from './errors.ts';

export type Credentials = { accessKeyId: string; secretAccessKey: string; sessionToken?: string };

export type BucketOptions = {
  bucket: string;
  region: string;
  credentials: Credentials;
  /** Absent for AWS's own of the region. */
  endpoint?: string;
  /** The bucket in the path of the URL instead of its host name. */
  pathStyle: boolean;
};

export type StoredObject = { bytes: Uint8Array; contentType: string | undefined };

const limits = {
  // The operator chose the address; no client's URL leads here.
  allowPrivate: true,
  connectMilliseconds: 5_000,
  totalMilliseconds: 60_000,
  maxRedirects: 2,
  maxBytes: 2 ** 30,
};

export class Bucket {
  readonly #base: string;
  readonly #signing: Credentials & { service: 's3'; region: string };
  /** For messages: the bucket and its host, without credentials. */
  readonly name: string;

  constructor({ bucket, region, credentials, endpoint, pathStyle }: BucketOptions) {
    const root = new URL(endpoint ?? `https://s3.${region}.amazonaws.com`);
    if (!pathStyle) root.hostname = `${bucket}.${root.hostname}`;
    this.#base = root.href.replace(/\/+$/, '') + (pathStyle ? `/${bucket}` : '');
    this.#signing = { ...credentials, service: 's3', region };
    this.name = `the bucket ${bucket} at ${root.host}`;
  }

  /** Durable once it resolves: S3 answers after it has stored all. Throws `storageUnreachable`, `storageRefused`. */
  async put(key: string, { bytes, contentType = 'application/octet-stream' }: StoredObject): Promise<void> {
    this.#expectDone(
      await this.#send('PUT', key, { body: bytes, headers: { 'content-type': contentType } }),
      'PUT',
    );
  }

  /** Undefined where no object has the key. Throws `storageUnreachable`, `storageRefused`. */
  async get(key: string): Promise<StoredObject | undefined> {
    const answer = await this.#send('GET', key);
    if (isAbsent(answer)) return undefined;
    this.#expectDone(answer, 'GET');
    return { bytes: answer.bytes, contentType: answer.headers['content-type'] };
  }

  /** Bytes; undefined where no object has the key. Throws `storageUnreachable`, `storageRefused`. */
  async sizeOf(key: string): Promise<number | undefined> {
    const answer = await this.#send('HEAD', key);
    if (answer.status === 404) return undefined;
    this.#expectDone(answer, 'HEAD');
    return Number(answer.headers['content-length']);
  }

  /** No error where no object has the key. Throws `storageUnreachable`, `storageRefused`. */
  async delete(key: string): Promise<void> {
    const answer = await this.#send('DELETE', key);
    if (!isAbsent(answer)) this.#expectDone(answer, 'DELETE');
  }

  /** Writes, reads and deletes an object. Throws `storageUnreachable`, `storageRefused`. */
  async probe(key: string): Promise<void> {
    await this.put(key, { bytes: Buffer.from('Retouch writes here.'), contentType: 'text/plain' });
    await this.get(key);
    await this.delete(key);
  }

  /** A URL by which anyone may read the object for `seconds`, at most a week. */
  async presign(key: string, seconds: number): Promise<string> {
    const url = this.#urlOf(key);
    url.searchParams.set('X-Amz-Expires', String(seconds));
    const signed = await new AwsV4Signer({ url: url.href, signQuery: true, ...this.#signing }).sign();
    return signed.url.href;
  }

  #urlOf(key: string): URL {
    return new URL(`${this.#base}/${key.split('/').map(encodeURIComponent).join('/')}`);
  }

  async #send(
    method: string,
    key: string,
    { body, headers = {} }: { body?: Uint8Array; headers?: Record<string, string> } = {},
  ): Promise<Exchanged> {
    const url = this.#urlOf(key).href;
    // The hash of the body is signed too, so that S3 refuses one that was damaged on its way.
    const hash = createHash('sha256')
      .update(body ?? '')
      .digest('hex');
    const signed = await new AwsV4Signer({
      ...{ method, url, ...this.#signing },
      headers: { ...headers, 'x-amz-content-sha256': hash },
    }).sign();
    const request = {
      method,
      headers: {
        ...Object.fromEntries(signed.headers),
        ...(body && { 'content-length': String(body.length) }),
      },
      ...(body && { body }),
    };
    try {
      return await exchangeWith(url, request, limits);
    } catch (error) {
      const message = `${capitalized(this.name)} does not answer: ${(error as Error).message}`;
      throw storageError('storageUnreachable', message, error);
    }
  }

  #expectDone({ status, bytes }: Exchanged, method: string): void {
    if (status >= 200 && status <= 299) return;
    const code = /<Code>([^<]{1,100})<\/Code>/.exec(Buffer.from(bytes).toString('utf8'))?.[1];
    const message = `${capitalized(this.name)} answered ${method} with HTTP status ${status}${code ? ` (${code})` : ''}; expected 200.`;
    const isPassing = status >= 500 || status === 408 || status === 429;
    throw storageError(isPassing ? 'storageUnreachable' : 'storageRefused', message);
  }
}

/** A bucket that is missing has the same status. */
function isAbsent({ status, bytes }: Exchanged): boolean {
  return status === 404 && !Buffer.from(bytes).includes('NoSuchBucket');
}

function capitalized(text: string): string {
  return text[0]!.toUpperCase() + text.slice(1);
}

function storageError(code: StoreErrorCode, message: string, cause?: unknown): RetouchError {
  return new RetouchError(code, message, {}, { cause });
}
