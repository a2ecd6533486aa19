/**
 * SentencePiece's precompiled normalisation: a double-array trie from byte strings to their replacements, as T5's
 * tokenizer.json carries it (base64). Layout: u32 size of the trie in bytes, the trie's u32 units, then the
 * replacements, each ended by a NUL. sentencepiece `normalizer.cc`, darts-clone `darts.h`.
 */
export type Charsmap = (text: string) => string;

const encoder = new TextEncoder();
const decoder = new TextDecoder();
const graphemes = new Intl.Segmenter('en', { granularity: 'grapheme' });

/** The normaliser of a tokenizer.json's `precompiled_charsmap`. */
export function readCharsmap(base64: string): Charsmap {
  const bytes = Buffer.from(base64, 'base64');
  const size = bytes.readUInt32LE(0);
  const trie = Uint32Array.from({ length: size / 4 }, (_, i) => bytes.readUInt32LE(4 + i * 4));
  const replacements = bytes.subarray(4 + size);

  /** The replacement of the shortest prefix that has one: what Rust `tokenizers` takes, and drops the rest for. */
  const replace = (key: Uint8Array): string | undefined => {
    let position = offsetOf(trie[0]!);
    for (const byte of key) {
      if (byte === 0) return undefined;
      position ^= byte;
      const unit = trie[position] ?? 0;
      if ((unit & 0x800000ff) >>> 0 !== byte) return undefined;
      position ^= offsetOf(unit);
      if ((unit >>> 8) & 1) {
        const start = trie[position]! & 0x7fffffff;
        return decoder.decode(replacements.subarray(start, replacements.indexOf(0, start)));
      }
    }
    return undefined;
  };

  return (text) => {
    let out = '';
    for (const { segment } of graphemes.segment(text)) {
      const key = encoder.encode(segment);
      // Rust `tokenizers` tries a whole grapheme only below six bytes; XLM-R and T5 were checked against exactly this.
      const whole = key.length < 6 ? replace(key) : undefined;
      if (whole !== undefined) out += whole;
      else for (const character of segment) out += replace(encoder.encode(character)) ?? character;
    }
    return out;
  };
}

function offsetOf(unit: number): number {
  return (unit >>> 10) << ((unit & 0x200) >>> 6);
}
