/**
 * The address of Redis as people write it: `redis://[user:password@]host[:port][/database]`, `rediss://` for TLS, and
 * `redis+sentinel://[user:password@]host:port,host:port/master[/database]` (`rediss+sentinel://`) for Sentinel.
 */

export type RedisAddress = {
  username?: string;
  password?: string;
  db: number;
  tls: boolean;
} & ({ host: string; port: number } | { sentinels: { host: string; port: number }[]; name: string });

export const redisUrlForm =
  'redis://[user:password@]host[:port][/database], rediss:// for TLS, or redis+sentinel://host:port,host:port/master';

/** Undefined for text of another form. Credentials are those of Redis; Sentinels are asked without any. */
export function readRedisUrl(text: string): RedisAddress | undefined {
  const pattern = /^redis(s)?(\+sentinel)?:\/\/(?:([^@/]*)@)?([^/?#]+)(?:\/([^?#]*))?$/;
  const [, secure, sentinel, credentials, hosts = '', path = ''] = pattern.exec(text) ?? [];
  const isSentinel = sentinel !== undefined;
  const places = hosts.split(',').map((host) => readHost(host, isSentinel ? 26379 : 6379));
  if (!places.every((place) => place !== undefined)) return undefined;
  const [user, password] = split(credentials ?? '');
  const [first = '', second = ''] = path.split('/');
  const database = isSentinel ? second : first;
  if (!/^\d*$/.test(database) || (!isSentinel && second !== '') || (isSentinel && first === ''))
    return undefined;
  if (!isSentinel && places.length > 1) return undefined;
  const shared = {
    ...(user ? { username: user } : {}),
    ...(password ? { password } : {}),
    db: Number(database || 0),
    tls: secure !== undefined,
  };
  return isSentinel ? { ...shared, sentinels: places, name: first } : { ...shared, ...places[0]! };
}

/** For logs and errors: without user and password. */
export function describeRedis(address: RedisAddress): string {
  const scheme = address.tls ? 'rediss' : 'redis';
  if (!('sentinels' in address)) return `${scheme}://${address.host}:${address.port}/${address.db}`;
  const hosts = address.sentinels.map(({ host, port }) => `${host}:${port}`).join(',');
  return `${scheme}+sentinel://${hosts}/${address.name}/${address.db}`;
}

function readHost(text: string, usualPort: number): { host: string; port: number } | undefined {
  const [, bracketed, plain, digits] = /^(?:\[([0-9a-fA-F:]+)\]|([\w.-]+))(?::(\d{1,5}))?$/.exec(text) ?? [];
  const host = bracketed ?? plain;
  const port = Number(digits ?? usualPort);
  return host === undefined || port < 1 || port > 65535 ? undefined : { host, port };
}

/** `user:password`, `:password`, each percent-encoded. */
function split(credentials: string): [user: string, password: string] {
  const at = credentials.indexOf(':');
  const [user, password] = at < 0 ? [credentials, ''] : [credentials.slice(0, at), credentials.slice(at + 1)];
  try {
    return [decodeURIComponent(user), decodeURIComponent(password)];
  } catch {
    return [user, password];
  }
}
