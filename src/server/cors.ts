/**
 * CORS: a page of another origin may read an answer if auth.ts admits its request. A page sends its key in a header and
 * never in a cookie, so credentials are not allowed.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';

/** Seconds that a browser may remember a preflight; Chromium takes no more. */
const preflightAge = 7200;
/** Headers of answers that a page may read in addition to the safelisted ones. */
const exposed = 'ETag, Retry-After, X-Request-Id, Mcp-Session-Id';

export function allowOrigin(request: FastifyRequest, reply: FastifyReply, isAllowed: boolean): void {
  reply.header('vary', 'Origin');
  const { origin } = request.headers;
  if (origin === undefined || !isAllowed) return;
  reply.headers({ 'access-control-allow-origin': origin, 'access-control-expose-headers': exposed });
}

/** The answer to OPTIONS at an address that takes `methods`. */
export function answerOptions(
  request: FastifyRequest,
  reply: FastifyReply,
  methods: readonly string[],
): FastifyReply {
  const allow = methods.join(', ');
  reply.header('allow', allow);
  if (reply.hasHeader('access-control-allow-origin')) {
    reply.headers({
      'access-control-allow-methods': allow,
      // SDKs add headers of their own to Authorization and Content-Type.
      'access-control-allow-headers': request.headers['access-control-request-headers'] ?? '*',
      'access-control-max-age': preflightAge,
    });
    // Chromium requires this before a public page may reach a server on this machine.
    if (request.headers['access-control-request-private-network'] === 'true')
      reply.header('access-control-allow-private-network', 'true');
  }
  return reply.code(204).send();
}
