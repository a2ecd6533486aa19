/**
 * A family is a way of naming a LoRA's tensors. Adding one is a file and a line in the table of `index.ts`.
 */
import type { Network } from '../layers.ts';
import { type Located, locatePart } from '../parts.ts';

export type Family = {
  name: string;
  /** An example of a tensor name, for messages. */
  probe: string;
  /** Whether a tensor's name is one that this family alone gives. */
  owns(name: string): boolean;
  /** A tensor's role, and its module as `layers.ts` names it; undefined for a name of another family. */
  locate(name: string): (Located & { network: Network }) | undefined;
  /** Why files of the family cannot be used. */
  refusal?: string;
};

/** Layer names after a prefix that identifies the network. */
export function prefixed(
  name: string,
  probe: string,
  prefixes: Partial<Record<Network, readonly string[]>>,
): Family {
  const { transformer = [] } = prefixes;
  return {
    name,
    probe,
    owns: (tensor) => transformer.some((prefix) => tensor.startsWith(prefix)),
    locate(tensor) {
      for (const [network, list] of Object.entries(prefixes) as [Network, readonly string[]][]) {
        const prefix = list.find((prefix) => tensor.startsWith(prefix));
        const located = prefix === undefined ? undefined : locatePart(tensor.slice(prefix.length));
        if (located) return { network, ...located };
      }
      return undefined;
    },
  };
}
