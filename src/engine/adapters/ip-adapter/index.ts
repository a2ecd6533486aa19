/** The layouts of IP-Adapters that FLUX can run; adding one is a file and a line here. */
import { EngineError } from '../../errors.ts';
import { type Checkpoint, openCheckpoint } from '../../weights/checkpoint.ts';
import { WeightSource } from '../../weights/source.ts';
import type { IpAdapterConfig, IpAdapterFormat } from './format.ts';
import { instantx } from './instantx.ts';
import { xlabs } from './xlabs.ts';

const ipAdapterFormats = { xlabs, instantx } as const satisfies Record<string, IpAdapterFormat>;

export type OpenIpAdapter = { format: IpAdapterFormat; source: WeightSource; config: IpAdapterConfig };

/** Sizes that an adapter must fit: blocks and width of the transformer, and the width of its encoder's features. */
export type Fit = { depth: number; depthSingle: number; hidden: number; features: number };

/**
 * Reads an adapter's header and detects its layout from the tensor names.
 *
 * @throws RetouchError `ipAdapterUnsupported` when it was trained for another network, `ipAdapterMisfit` when its sizes
 * differ from the transformer's or the image encoder's
 */
export function openIpAdapter(file: string, fit: Fit): OpenIpAdapter {
  const checkpoint = openCheckpoint(file);
  refuseUnet(checkpoint);
  const formats: IpAdapterFormat[] = Object.values(ipAdapterFormats);
  const names = new Set(checkpoint.tensors.keys());
  const format = formats.find(({ dialects }) => dialects.some((dialect) => dialect.matches(names)));
  // The error of a file in none of the layouts lists them all.
  const source = new WeightSource(
    checkpoint,
    (format ? [format] : formats).flatMap((f) => f.dialects),
  );
  const config = format!.configure(source);
  checkFit(file, format!, config, fit);
  return { format: format!, source, config };
}

function checkFit(file: string, format: IpAdapterFormat, config: IpAdapterConfig, fit: Fit): void {
  const blocks = format.blocks === 'double' ? fit.depth : fit.depth + fit.depthSingle;
  const joints = [
    [config.layers, 'has keys for', blocks, 'blocks, and the transformer has'],
    [config.hidden, 'makes keys of', fit.hidden, 'channels, and the transformer’s queries have'],
    [config.features, 'takes images of', fit.features, 'features, and its image encoder gives'],
  ] as const;
  for (const [found, does, expected, what] of joints) {
    if (found === expected) continue;
    throw new EngineError(
      'ipAdapterMisfit',
      `the IP-Adapter ${file} (${format.name}) ${does} ${found} ${what} ${expected}`,
      { path: file, found, expected },
    );
  }
  if (!Number.isInteger(config.tokens))
    throw new EngineError(
      'ipAdapterMisfit',
      `the IP-Adapter ${file} (${format.name}) makes ${config.tokens} tokens of ${config.width} channels: not a whole number`,
      { path: file, found: config.tokens },
    );
}

/** The widths of texts that UNets attend to. */
const unets: Readonly<Record<number, string>> = { 768: 'SD 1.5', 1024: 'SD 2', 2048: 'SDXL' };

/** h94's files number the UNet's cross-attentions 1, 3, 5 …, their place among all its attentions. */
function refuseUnet({ tensors, path }: Checkpoint): void {
  const key = tensors.get('ip_adapter.1.to_k_ip.weight');
  if (!key || tensors.has('ip_adapter.0.to_k_ip.weight')) return;
  const base = unets[key.shape[1]!] ?? `a UNet with texts of ${key.shape[1]} channels`;
  throw new EngineError(
    'ipAdapterUnsupported',
    `${path} is an IP-Adapter for ${base}: it adds to the cross-attentions of a UNet, and FLUX has none. FLUX needs one of the layouts ${layouts()}; docs/guide/ip-adapters.md says where they are from.`,
    { path },
  );
}

function layouts(): string {
  return Object.values(ipAdapterFormats)
    .map(({ name }) => name)
    .join(', ');
}
