/** The server's addresses and their methods, for 405 and OPTIONS. */

import type { FastifyInstance } from 'fastify';

declare module 'fastify' {
  interface FastifyContextConfig {
    /** Methods that replace those of the routes in the answer. */
    allow?: readonly string[];
  }
}

export class Addresses {
  readonly #methods = new Map<string, Set<string>>();

  /** Must be called before the routes are registered. */
  watch(server: FastifyInstance): void {
    server.addHook('onRoute', ({ url, method, config }) => {
      const methods = this.#methods.get(url) ?? new Set();
      const { allow } = (config ?? {}) as { allow?: readonly string[] };
      for (const each of allow ?? [method].flat()) methods.add(each);
      this.#methods.set(url, methods);
    });
  }

  /** The methods of a path without its query; empty for an unknown path. */
  methodsOf(path: string): string[] {
    const wanted = normalize(path);
    for (const [pattern, methods] of this.#methods) {
      if (matches(pattern, wanted)) return [...methods, 'OPTIONS'];
    }
    return [];
  }
}

export function pathOf(url: string): string {
  return url.split('?', 1)[0]!;
}

/** Normalizes like the router: doubled and trailing slashes are ignored. */
export function normalize(path: string): string {
  return path.replace(/\/{2,}/g, '/').replace(/(.)\/$/, '$1');
}

function matches(pattern: string, path: string): boolean {
  const parts = pattern.split('/');
  const given = path.split('/');
  return (
    parts.length === given.length && parts.every((part, index) => part[0] === ':' || part === given[index])
  );
}
