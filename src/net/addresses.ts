/** Checks every address of a host name before a connection is made. */

import { lookup as lookupAll } from 'node:dns/promises';
import { BlockList, isIP } from 'node:net';
import { netError, short } from './errors.ts';

export type Address = { address: string; family: number };

export type AddressRules = {
  /** The private addresses that may be reached: all, none, or those of the listed host names. */
  allowPrivate: boolean | readonly string[];
  /** Name resolution; tests replace it. */
  resolve?: (hostname: string) => Promise<Address[]>;
};

/** Every address of the URL's host. Throws `addressRefused`, `hostNotFound`, and the reason of `stop`. */
export async function resolveChecked(url: URL, rules: AddressRules, stop: AbortSignal): Promise<Address[]> {
  const hostname = url.hostname.replace(/^\[|\]$/g, '').toLowerCase();
  const { allowPrivate } = rules;
  const allowed = typeof allowPrivate === 'boolean' ? allowPrivate : allowPrivate.includes(hostname);
  if (!allowed && isLoopbackName(hostname)) throw refused(url, hostname);
  const addresses = await addressesOf(hostname, rules, stop);
  if (allowed || addresses.every(({ address }) => isPublicAddress(address))) return addresses;
  throw refused(url, hostname);
}

function refused(url: URL, hostname: string) {
  const message = `${short(url.href)} leads to a loopback, private or reserved address, which this server does not talk to.`;
  return netError('addressRefused', `${message} RETOUCH_ALLOW_PRIVATE_NETWORK=${hostname} allows it.`);
}

/** RFC 6761 reserves .localhost for loopback; the other names are in the hosts files of Linux distributions. */
const loopbackName =
  /^(.*\.)?localhost$|^localhost6?\.localdomain6?$|^localhost[46]$|^ip6-(localhost|loopback)$/;

/** Refuses these names without a lookup. A trailing dot makes a name absolute but does not change the host. */
function isLoopbackName(hostname: string): boolean {
  return loopbackName.test(hostname.replace(/\.+$/, '').toLowerCase());
}

async function addressesOf(
  hostname: string,
  { resolve = (name) => lookupAll(name, { all: true }) }: AddressRules,
  stop: AbortSignal,
): Promise<Address[]> {
  const family = isIP(hostname);
  if (family !== 0) return [{ address: hostname, family }];
  try {
    const addresses = await orAborted(resolve(hostname), stop);
    if (addresses.length > 0) return addresses;
  } catch (error) {
    stop.throwIfAborted();
    throw netError('hostNotFound', `The host ${hostname} cannot be found.`, { cause: error });
  }
  throw netError('hostNotFound', `The host ${hostname} has no address.`);
}

/** A lookup without an answer cannot be aborted, so the wait for it is. */
function orAborted<T>(work: Promise<T>, stop: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abandon = () => reject(stop.reason);
    if (stop.aborted) abandon();
    stop.addEventListener('abort', abandon, { once: true });
    work.then(resolve, reject).finally(() => stop.removeEventListener('abort', abandon));
  });
}

/** IANA's special-purpose IPv4 ranges and multicast. */
const reserved4 = blockList('ipv4', [
  ['0.0.0.0', 8],
  ['10.0.0.0', 8],
  ['100.64.0.0', 10],
  ['127.0.0.0', 8],
  ['169.254.0.0', 16],
  ['172.16.0.0', 12],
  ['192.0.0.0', 24],
  ['192.0.2.0', 24],
  ['192.88.99.0', 24],
  ['192.168.0.0', 16],
  ['198.18.0.0', 15],
  ['198.51.100.0', 24],
  ['203.0.113.0', 24],
  ['224.0.0.0', 3],
]);

/** Everything outside 2000::/3 is special (mapped IPv4, NAT64, ULA, link-local, multicast); these are inside. */
const global6 = blockList('ipv6', [['2000::', 3]]);
const reserved6 = blockList('ipv6', [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
]);

export function isPublicAddress(address: string): boolean {
  const family = isIP(address);
  if (family === 4) return !reserved4.check(address, 'ipv4');
  return family === 6 && global6.check(address, 'ipv6') && !reserved6.check(address, 'ipv6');
}

function blockList(family: 'ipv4' | 'ipv6', ranges: [network: string, prefix: number][]): BlockList {
  const list = new BlockList();
  for (const [network, prefix] of ranges) list.addSubnet(network, prefix, family);
  return list;
}
