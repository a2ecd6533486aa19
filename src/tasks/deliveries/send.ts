/** One delivery → one request to its receiver. */

import { createHmac } from 'node:crypto';
import { apiError } from '../../api/errors.ts';
import { stringifyJson } from '../../api/json.ts';
import { type Reply, toEnvelope } from '../../api/results.ts';
import { type FetchLimits, type SendLimits, sendTo } from '../../net/fetch.ts';
import type { AssetStore } from '../../store/assets.ts';
import { mediaTypes } from '../../store/assets.ts';
import type { Delivery } from '../../store/deliveries.ts';
import type { TaskStore } from '../../store/tasks.ts';
import { knownTask } from '../results/lookup.ts';
import { readItem, showResult } from '../results/outcome.ts';
import type { Send } from './outbox.ts';

/** Milliseconds that the protocol gives a webhook's receiver. */
const webhookMilliseconds = 5_000;
/** Milliseconds; enough for a large image over a slow line. */
const uploadMilliseconds = 60_000;

type WebhookStyle = {
  /** `{"data":[item]}` or the item itself. */
  body: 'wrapped' | 'flat';
  /** Key of the signature; empty means unsigned. */
  secret: string;
};

export type SendOptions = {
  tasks: TaskStore;
  assets: AssetStore;
  webhook: WebhookStyle;
  fetch: Omit<FetchLimits, 'maxBytes'>;
};

export function createSend({ tasks, assets, webhook, fetch }: SendOptions): Send {
  const limits = (totalMilliseconds: number): SendLimits => ({ ...fetch, totalMilliseconds });

  return async (delivery, signal) => {
    const found = tasks.result(delivery.result);
    // Deleted together with its task.
    if (!found) return;
    const { result } = found;
    const { terms } = knownTask(found.task);
    if (delivery.kind === 'upload') {
      const { format } = readItem(result.made!);
      const asset = await assets.get(result.uuid);
      if (!asset) throw apiError('mediaNotFound', 'The image is no longer stored.');
      // Azure's Put Blob refuses a request without its header; other stores ignore it.
      const headers = { 'content-type': mediaTypes[format], 'x-ms-blob-type': 'BlockBlob' };
      const sending = { method: 'PUT', headers, body: asset.bytes } as const;
      await sendTo(terms.uploadEndpoint!, sending, { ...limits(uploadMilliseconds), signal });
    } else {
      const reply = (await showResult(result, terms, assets))!;
      const body = Buffer.from(stringifyJson(webhookBody(reply, webhook.body)));
      const headers = webhookHeaders(delivery, body, webhook.secret);
      const sending = { method: 'POST', headers, body } as const;
      await sendTo(terms.webhookURL!, sending, { ...limits(webhookMilliseconds), signal });
    }
  };
}

function webhookBody(reply: Reply, style: WebhookStyle['body']): object {
  if (style === 'flat') return 'item' in reply ? reply.item : reply.failure.error;
  const { data, errors } = toEnvelope([reply]).body;
  return errors ? { errors } : { data };
}

/** The signature covers the timestamp, so that a receiver can refuse a replay. */
export function webhookHeaders(
  { uuid }: Pick<Delivery, 'uuid'>,
  body: Uint8Array,
  secret: string,
): Record<string, string> {
  const timestamp = String(Math.floor(Date.now() / 1000));
  const headers = { 'content-type': 'application/json', 'x-retouch-delivery': uuid };
  if (secret === '') return headers;
  const signature = createHmac('sha256', secret).update(`${timestamp}.`).update(body).digest('hex');
  return {
    ...headers,
    'x-retouch-timestamp': timestamp,
    'x-retouch-signature': `sha256=${signature}`,
  };
}
