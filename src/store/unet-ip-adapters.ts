/** The IP-Adapters that the model page lists. They add to the cross-attentions of a UNet; FLUX has none. */

export type UnetIpAdapter = {
  name: string;
  base: 'SDXL' | 'SD 1.5';
  /** For an adapter made for faces, a guide picture is cropped to its largest face first. */
  face?: true;
  /** The weight is halved: this adapter leaves more influence to the text. */
  light?: true;
};

/** By AIR; `runware:55@9` is not on the page. An operator binds one of them to an IP-Adapter for FLUX. */
export const unetIpAdapters: Readonly<Record<string, UnetIpAdapter>> = {
  'runware:55@1': { name: 'IP Adapter SDXL', base: 'SDXL' },
  'runware:55@2': { name: 'IP Adapter SDXL Plus', base: 'SDXL' },
  'runware:55@3': { name: 'IP Adapter SDXL Plus Face', base: 'SDXL', face: true },
  'runware:55@4': { name: 'IP Adapter SDXL Vit-H', base: 'SDXL' },
  'runware:55@5': { name: 'IP Adapter SD 1.5', base: 'SD 1.5' },
  'runware:55@6': { name: 'IP Adapter SD 1.5 Plus', base: 'SD 1.5' },
  'runware:55@7': { name: 'IP Adapter SD 1.5 Light', base: 'SD 1.5', light: true },
  'runware:55@8': { name: 'IP Adapter SD 1.5 Plus Face', base: 'SD 1.5', face: true },
  'runware:55@10': { name: 'IP Adapter SD 1.5 Vit-G', base: 'SD 1.5' },
};
