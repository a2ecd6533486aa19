/** The role of a tensor in a LoRA file, by the end of its name: the same few endings in every family. */

/** `up·down` is a LoRA's product; `w1` and `w2` are a LoKr's or LoHa's factors, `_a·_b` when they are products too. */
export type Part =
  | 'down'
  | 'up'
  | 'alpha'
  | 'magnitude'
  | `${'lokr' | 'loha'}.${'w1' | 'w2'}${'' | '.a' | '.b'}`;

/** A part of the layer called `module`. */
export type Located = { module: string; part: Part };

/** PEFT puts the adapter's name before `weight`: `lora_A.default.weight`. */
const adapter = '(?:\\.(?!weight$)[^.]+)?';

const endings: readonly [RegExp, Part][] = [
  [new RegExp(`\\.lora_A${adapter}\\.weight$`), 'down'],
  [new RegExp(`\\.lora_B${adapter}\\.weight$`), 'up'],
  [/\.(?:lora\.|lora_)down\.weight$/, 'down'],
  [/\.(?:lora\.|lora_)up\.weight$/, 'up'],
  [/\.alpha$/, 'alpha'],
  [/\.dora_scale$/, 'magnitude'],
  [new RegExp(`\\.lora_magnitude_vector${adapter}(?:\\.weight)?$`), 'magnitude'],
  [/\.lokr_w1$/, 'lokr.w1'],
  [/\.lokr_w1_a$/, 'lokr.w1.a'],
  [/\.lokr_w1_b$/, 'lokr.w1.b'],
  [/\.lokr_w2$/, 'lokr.w2'],
  [/\.lokr_w2_a$/, 'lokr.w2.a'],
  [/\.lokr_w2_b$/, 'lokr.w2.b'],
  [/\.hada_w1_a$/, 'loha.w1.a'],
  [/\.hada_w1_b$/, 'loha.w1.b'],
  [/\.hada_w2_a$/, 'loha.w2.a'],
  [/\.hada_w2_b$/, 'loha.w2.b'],
];

export function locatePart(name: string): Located | undefined {
  for (const [ending, part] of endings) {
    const found = name.match(ending);
    // Some trainers leave an underscore at the end of a layer's name.
    if (found) return { module: name.slice(0, found.index).replace(/_+$/, ''), part };
  }
  return undefined;
}

/** Tensors that are known and cannot be used, in the words of docs/guide/lora.md. */
const refusals: readonly [RegExp, string][] = [
  [/^bundle_emb\./, 'embeddings of new words that OneTrainer bundles'],
  [/\.(oft_blocks|oft_diag|oft_[SR]|boft_.*)(\.|$)/, 'OFT, which rotates weights'],
  [/\.(a1|a2|b1|b2)\.weight$/, 'GLoRA'],
  [/\.modules_to_save\b/, 'whole layers (modules_to_save)'],
  [/\.(w_norm|b_norm|diff|diff_b|set_weight|set_bias)$/, 'differences of whole weights'],
  [/\.(lora_A|lora_B|lora_up|lora_down)(\.[^.]+)?\.bias$/, 'biases'],
  [/\.(lora_mid\.weight|lokr_t[12]|hada_t[12])$/, 'Tucker factors of convolutions'],
  [/\.(qkv_proj|qkv_proj_context|mlp_fc[12]|mlp_context_fc[12]|out_proj_context)\./, "nunchaku's layers"],
  [/\.on_input$/, 'IA3'],
];

export function refusalOf(name: string): string | undefined {
  return refusals.find(([pattern]) => pattern.test(name))?.[1];
}
