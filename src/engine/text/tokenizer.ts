/**
 * Prompts to token ids, equal to those of transformers 5, and the only door to @huggingface/tokenizers. Prompts are
 * plain: no weights in parentheses, as in diffusers.
 */
import { Tokenizer } from '@huggingface/tokenizers';
import { EngineError } from '../errors.ts';
import { readCharsmap } from './charsmap.ts';
import { contentOf, readTokenizerFiles, type TokenizerFiles } from './tokenizer-files.ts';

export type PromptTokenizer = {
  /** The ids of a prompt: begun and ended as the model expects, cut and padded to exactly `length`. */
  encode(prompt: string, length: number): Int32Array;
  /** How many ids the prompt has, begun and ended, before it is cut or padded. */
  count(prompt: string): number;
  /** The id every prompt ends with; CLIP's summary of a prompt sits at the first. */
  endId: number;
  padId: number;
  /** `model_max_length` of the configuration, if it has one that means anything. */
  maxLength: number | undefined;
};

/**
 * The tokenizer of a folder: CLIP's (begin, words, end, and by default the end again as padding) or T5's (words, end,
 * padding), by whether its configuration names a `bos_token`.
 *
 * @throws RetouchError `modelFileMissing`, `modelConfigInvalid`
 */
export async function loadTokenizer(folder: string): Promise<PromptTokenizer> {
  const files = await readTokenizerFiles(folder);
  const { config } = files;
  const tokenizer = build(folder, files);
  correctNormalizer(tokenizer.normalizer);
  correctSplits(tokenizer.pre_tokenizer);
  const encodeWords = makeEncoder(tokenizer);

  const idOf = (name: string): number | undefined => {
    const content = contentOf(config[name]);
    if (content === undefined) return undefined;
    const id = tokenizer.token_to_id(content);
    if (id !== undefined) return id;
    const message = `${folder}: ${name} is "${content}", which the vocabulary does not have.`;
    throw new EngineError('modelConfigInvalid', message, { path: folder });
  };
  const begin = idOf('bos_token');
  const endId = idOf('eos_token');
  if (endId === undefined) {
    const message = `${folder}: tokenizer_config.json names no eos_token, and prompts must end with one.`;
    throw new EngineError('modelConfigInvalid', message, { path: folder });
  }
  const padId = idOf('pad_token') ?? endId;
  const { model_max_length } = config;

  return {
    endId,
    padId,
    // transformers writes 1e30 for "no limit".
    maxLength: typeof model_max_length === 'number' && model_max_length < 1e6 ? model_max_length : undefined,
    count: (prompt) => encodeWords(prompt).length + (begin === undefined ? 1 : 2),
    encode(prompt, length) {
      const words = encodeWords(prompt);
      const start = begin === undefined ? [] : [begin];
      const ids = [...start, ...words.slice(0, length - start.length - 1), endId];
      return Int32Array.from({ length }, (_, i) => ids[i] ?? padId);
    },
  };
}

function build(folder: string, { tokenizer, config }: TokenizerFiles): Library {
  try {
    return new Tokenizer(tokenizer, config);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    const message = `${folder} has a tokenizer that cannot be used: ${reason}.`;
    throw new EngineError('modelConfigInvalid', message, { path: folder }, { cause });
  }
}

/**
 * `Tokenizer.encode`, from the library's parts: its own takes a normalised text that spells a special token for that
 * token ("<|ENDOFTEXT|>"), though the token is to be found in the text as it was typed.
 */
function makeEncoder(tokenizer: Library): (text: string) => number[] {
  const { normalizer, pre_tokenizer, model } = tokenizer;
  const normalize = (text: string) => normalizer?.normalize(text) ?? text;
  const typed = new Map<string, number>();
  const normalized = new Map<string, number>();
  for (const token of tokenizer.added_tokens) {
    if (token.normalized) normalized.set(normalize(token.content), token.id);
    else typed.set(token.content, token.id);
  }
  const splitTyped = makeSplitter(typed);
  const splitNormalized = makeSplitter(normalized);
  const encodePart = (text: string, section_index: number) =>
    model(pre_tokenizer ? pre_tokenizer(text, { section_index }) : [text]).map(
      (piece) => model.tokens_to_ids.get(piece) ?? model.unk_token_id,
    );
  return (text) =>
    splitTyped(text).flatMap((section, index) => {
      if (typeof section === 'number') return section;
      const parts = splitNormalized(normalize(section));
      return parts.flatMap((part) => (typeof part === 'number' ? part : encodePart(part, index)));
    });
}

/** Cuts a text at its special tokens, the longest where several fit, and puts their ids in their places. */
function makeSplitter(tokens: Map<string, number>): (text: string) => (string | number)[] {
  const contents = [...tokens.keys()].sort((a, b) => b.length - a.length);
  const escaped = contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  const pattern = contents.length === 0 ? /$^/u : new RegExp(`(${escaped.join('|')})`, 'u');
  return (text) => {
    const parts = text.split(pattern).filter((part) => part !== '');
    return parts.map((part) => tokens.get(part) ?? part);
  };
}

/** The parts of the library that are used; its own declarations do not resolve under `nodenext`. */
type Library = {
  normalizer: LibraryNormalizer | null;
  pre_tokenizer: LibraryPreTokenizer | null;
  model: {
    (words: string[]): string[];
    tokens_to_ids: Map<string, number>;
    unk_token_id: number;
  };
  added_tokens: { id: number; content: string; normalized: boolean }[];
  token_to_id(token: string): number | undefined;
};
type LibraryNormalizer = {
  config?: { type: string; precompiled_charsmap?: string };
  /** The parts of a sequence. */
  normalizers?: (LibraryNormalizer | null)[];
  normalize(text: string): string;
};
type LibraryPreTokenizer = {
  (text: string, options: { section_index: number }): string[];
  config?: { type: string };
  /** The parts of a sequence. */
  tokenizers?: (LibraryPreTokenizer | null)[];
  pattern?: RegExp;
};

function correctNormalizer(normalizer: LibraryNormalizer | null): void {
  normalizer?.normalizers?.forEach(correctNormalizer);
  const config = normalizer?.config;
  if (config?.type === 'Lowercase') normalizer!.normalize = lowercase;
  if (config?.type === 'Precompiled' && config.precompiled_charsmap) {
    // The library does NFKC and a few replacements instead of reading the map that the file carries.
    normalizer!.normalize = readCharsmap(config.precompiled_charsmap);
  }
}

/** Rust lower-cases character by character; `toLowerCase` on a text makes a final Σ a ς. */
function lowercase(text: string): string {
  return Array.from(text, (character) => character.toLowerCase()).join('');
}

function correctSplits(preTokenizer: LibraryPreTokenizer | null): void {
  preTokenizer?.tokenizers?.forEach(correctSplits);
  if (preTokenizer?.config?.type === 'ByteLevel') preTokenizer.pattern = byteLevelPattern;
}

/** GPT-2's split with Unicode's white space: JavaScript's \s has U+FEFF, which Rust's has not, and lacks U+0085. */
const byteLevelPattern =
  /'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\p{White_Space}\p{L}\p{N}]+|\p{White_Space}+(?!\P{White_Space})|\p{White_Space}+/gu;
