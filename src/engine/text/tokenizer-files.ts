/** A tokenizer's folder, as diffusers lays it out, read into one tokenizer.json and one tokenizer_config.json. */
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { EngineError } from '../errors.ts';

type Json = { [key: string]: Json } | Json[] | string | number | boolean | null | undefined;
type JsonObject = { [key: string]: Json };

export type TokenizerFiles = { tokenizer: JsonObject; config: JsonObject };

/**
 * @throws RetouchError `modelFileMissing` when the folder has neither tokenizer.json nor vocab.json with merges.txt,
 *   `modelConfigInvalid` when a file is not JSON
 */
export async function readTokenizerFiles(folder: string): Promise<TokenizerFiles> {
  // Some folders name special tokens in a file of their own alone.
  const config = {
    ...(await readJson(join(folder, 'special_tokens_map.json'))),
    ...(await readJson(join(folder, 'tokenizer_config.json'))),
  };
  const tokenizer =
    (await readJson(join(folder, 'tokenizer.json'))) ?? (await fromVocabulary(folder, config));
  return { tokenizer: isT5(config, tokenizer) ? asT5(tokenizer) : tokenizer, config };
}

/** By its class, or without one by its kind of model: CLIP's is BPE. */
function isT5({ tokenizer_class }: JsonObject, { model }: JsonObject): boolean {
  if (typeof tokenizer_class === 'string') return tokenizer_class.startsWith('T5Tokenizer');
  return (model as JsonObject | undefined)?.type === 'Unigram';
}

/**
 * transformers 5 takes the vocabulary and the character map of a T5 tokenizer.json and builds the rest anew, which
 * changes ids around special tokens; the file's own pipeline is what transformers 4 ran.
 */
function asT5(tokenizer: JsonObject): JsonObject {
  const normalizers = flatten(tokenizer.normalizer);
  return {
    ...tokenizer,
    normalizer: normalizers.find((normalizer) => normalizer.type === 'Precompiled') ?? null,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        // WhitespaceSplit by another name: the library's takes U+FEFF for white space and U+0085 for none.
        { type: 'Split', pattern: { Regex: '\\s+' }, behavior: 'Removed', invert: false },
        { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
      ],
    },
  };
}

function flatten(normalizer: Json): JsonObject[] {
  if (typeof normalizer !== 'object' || normalizer === null || Array.isArray(normalizer)) return [];
  const parts = normalizer.normalizers;
  return Array.isArray(parts) ? parts.flatMap(flatten) : [normalizer];
}

/** CLIP checkpoints come as vocab.json and merges.txt; transformers `tokenization_clip.py` has the rest in code. */
async function fromVocabulary(folder: string, config: JsonObject): Promise<JsonObject> {
  const vocab = await readJson(join(folder, 'vocab.json'));
  const merges = await readText(join(folder, 'merges.txt'));
  if (!vocab || merges === undefined) {
    const path = folder;
    const message = `${folder} has no tokenizer: neither tokenizer.json nor vocab.json with merges.txt.`;
    throw new EngineError('modelFileMissing', message, { path });
  }
  const start = contentOf(config.bos_token) ?? '<|startoftext|>';
  const end = contentOf(config.eos_token) ?? '<|endoftext|>';
  const space = { type: 'Replace', pattern: { Regex: '\\s+' }, content: ' ' };
  const words = "'s|'t|'re|'ve|'m|'ll|'d|[\\p{L}]+|[\\p{N}]|[^\\s\\p{L}\\p{N}]+";
  const pattern = { Regex: `<\\|startoftext\\|>|<\\|endoftext\\|>|${words}` };
  return {
    added_tokens: [start, end].map((content) => addedToken(content, vocab[content], config)),
    normalizer: { type: 'Sequence', normalizers: [{ type: 'NFC' }, space, { type: 'Lowercase' }] },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern, behavior: 'Removed', invert: true },
        { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
      ],
    },
    post_processor: null,
    decoder: null,
    model: {
      type: 'BPE',
      unk_token: end,
      continuing_subword_prefix: '',
      end_of_word_suffix: '</w>',
      vocab,
      merges: merges.split(/\r?\n/).filter((line) => line && !line.startsWith('#version')),
    },
  };
}

/**
 * Whether a special token is found before or after lower-casing: `added_tokens_decoder` has a flag for it; older files
 * list the token once or more, as an object or as a bare string, and one bare string makes it "before".
 */
function addedToken(content: string, id: Json, config: JsonObject): JsonObject {
  const listed = (config.added_tokens_decoder as JsonObject | undefined)?.[String(id)] as
    | JsonObject
    | undefined;
  const named = Object.entries(config).filter(
    ([key, value]) => /_token$/.test(key) && contentOf(value) === content,
  );
  const normalized = listed?.normalized ?? named.every(([, value]) => typeof value === 'object');
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized, special: true };
}

/** A token of tokenizer_config.json, which is a string or an object with a `content`. */
export function contentOf(token: Json): string | undefined {
  if (typeof token === 'string') return token;
  if (typeof token !== 'object' || token === null || Array.isArray(token)) return undefined;
  return contentOf(token.content);
}

async function readJson(path: string): Promise<JsonObject | undefined> {
  const text = await readText(path);
  if (text === undefined) return undefined;
  try {
    return JSON.parse(text);
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new EngineError('modelConfigInvalid', `${path} is not JSON: ${reason}.`, { path }, { cause });
  }
}

async function readText(path: string): Promise<string | undefined> {
  try {
    // Version control and editors of other systems add byte order marks, and carriage returns.
    return (await readFile(path, 'utf8')).replace(/^\uFEFF/, '');
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined;
    throw error;
  }
}
