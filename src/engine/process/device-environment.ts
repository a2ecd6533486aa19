/** How the child of an engine is confined to one of several devices of a kind: by what the driver reads. */

/** Names of the driver's variables by device; devices without one have a single adapter, chosen by the system. */
const variables: Readonly<Record<string, string>> = { cuda: 'CUDA_VISIBLE_DEVICES' };

/** Numbers count the devices that this process may use, as CUDA does: `CUDA_VISIBLE_DEVICES=2,3` makes device 1 the card 3. */
export function deviceEnvironment(
  device: string,
  index: number,
  env: Readonly<Record<string, string | undefined>>,
): Record<string, string> {
  const name = variables[device];
  if (name === undefined) return {};
  const visible = env[name] ? env[name].split(',') : [];
  return { [name]: visible[index]?.trim() ?? String(index) };
}
