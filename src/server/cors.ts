/**
 * Which pages of other origins may read the answers: those whose requests the gate lets pass, see auth.ts. Keys travel in
 * a header that the page sets itself and never in a cookie, so credentials are not allowed.
 */

import type { FastifyReply, FastifyRequest } from 'fastify';

/** Seconds that a browser may remember a preflight; Chromium takes no more. */
const preflightAge = 7200;
/** Headers of answers that a page may read beside those that it always may. */
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
    // Chromium asks this before a page of the internet reaches a server of this machine.
    if (request.headers['access-control-request-private-network'] === 'true')
      reply.header('access-control-allow-private-network', 'true');
  }
  return reply.code(204).send();
}
