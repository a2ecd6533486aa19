/** Tokenizers with vocabularies of the real sizes and forms; their words are combinations of letters. */
import fs from 'node:fs';
import path from 'node:path';

const letters = [...'abcdefghijklmnopqrstuvwxyz'];
const pairs = letters.flatMap((a) => letters.map((b) => [a, b] as const));

export function writeTokenizers(folder: string): void {
  const write = (name: string, content: string | object) => {
    const file = path.join(folder, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, typeof content === 'string' ? content : JSON.stringify(content));
  };
  const { vocabulary, merges } = clipVocabulary();
  write('tokenizer/vocab.json', Object.fromEntries(vocabulary.map((word, id) => [word, id])));
  write('tokenizer/merges.txt', `#version: 0.2\n${merges.map((merge) => merge.join(' ')).join('\n')}\n`);
  write('tokenizer/special_tokens_map.json', {});
  write('tokenizer/tokenizer_config.json', clipConfig());
  write('tokenizer_2/tokenizer.json', t5Tokenizer());
  write('tokenizer_2/tokenizer_config.json', {
    additional_special_tokens: extraTokens,
    eos_token: '</s>',
    pad_token: '<pad>',
    unk_token: '<unk>',
    extra_ids: 100,
    model_max_length: 512,
    tokenizer_class: 'T5Tokenizer',
  });
}

/** Byte-level BPE: 256 characters, alone and at the end of a word, then merges. */
export function clipVocabulary(): { vocabulary: string[]; merges: (readonly [string, string])[] } {
  const size = 49408;
  const characters = byteCharacters();
  const vocabulary = [...characters, ...characters.map((character) => `${character}</w>`)];
  const merges: (readonly [string, string])[] = [];
  for (const merge of clipMerges()) {
    if (vocabulary.length === size - 2) break;
    merges.push(merge);
    vocabulary.push(merge.join(''));
  }
  vocabulary.push('<|startoftext|>', '<|endoftext|>');
  return { vocabulary, merges };
}

function* clipMerges(): Iterable<readonly [string, string]> {
  for (const end of ['', '</w>']) for (const [a, b] of pairs) yield [a, b + end];
  for (const end of ['', '</w>']) for (const [a, b] of pairs) for (const c of letters) yield [a + b, c + end];
  for (const [a, b] of pairs) for (const [c, d] of pairs) yield [a + b, c + d];
}

/** GPT-2's map of bytes to printable characters: bytes without one get those from U+0100 on. */
function byteCharacters(): string[] {
  const isPrintable = (byte: number) =>
    (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  const bytes = Array.from({ length: 256 }, (_, byte) => byte);
  const rest = bytes.filter((byte) => !isPrintable(byte));
  return [...bytes.filter(isPrintable), ...rest.map((_, i) => 256 + i)].map((code) =>
    String.fromCodePoint(code),
  );
}

function clipConfig(): object {
  const token = (content: string) => ({
    __type: 'AddedToken',
    content,
    lstrip: false,
    normalized: true,
    rstrip: false,
    single_word: false,
  });
  return {
    add_prefix_space: false,
    bos_token: token('<|startoftext|>'),
    eos_token: token('<|endoftext|>'),
    unk_token: token('<|endoftext|>'),
    pad_token: '<|endoftext|>',
    errors: 'replace',
    do_lower_case: true,
    model_max_length: 77,
    tokenizer_class: 'CLIPTokenizer',
  };
}

const extraTokens = Array.from({ length: 100 }, (_, i) => `<extra_id_${i}>`);

/** A unigram model: pieces with log probabilities, then the hundred sentinels, which count down. */
function t5Tokenizer(): object {
  const added = (id: number, content: string) => ({
    id,
    content,
    single_word: false,
    lstrip: false,
    rstrip: false,
    normalized: false,
    special: true,
  });
  const sequence = [{ Sequence: { id: 'A', type_id: 0 } }, { SpecialToken: { id: '</s>', type_id: 0 } }];
  const whitespace = [
    { type: 'WhitespaceSplit' },
    { type: 'Metaspace', replacement: '▁', add_prefix_space: true },
  ];
  const vocab = t5Vocabulary();
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: [
      ...['<pad>', '</s>', '<unk>'].map((content, id) => added(id, content)),
      ...[...extraTokens].reverse().map((content, i) => added(vocab.length - 100 + i, content)),
    ],
    normalizer: null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: whitespace },
    post_processor: {
      type: 'TemplateProcessing',
      single: sequence,
      pair: sequence,
      special_tokens: { '</s>': { id: '</s>', ids: [1], tokens: ['</s>'] } },
    },
    decoder: { type: 'Metaspace', replacement: '▁', add_prefix_space: true },
    model: { type: 'Unigram', unk_id: 2, vocab },
  };
}

export function t5Vocabulary(): [string, number][] {
  const size = 32000;
  const pieces = new Map([
    ['<pad>', 0],
    ['</s>', 0],
    ['<unk>', 0],
    ['▁', -2],
  ]);
  const add = (piece: string, score: number) => {
    if (pieces.size < size && !pieces.has(piece)) pieces.set(piece, score);
  };
  for (let code = 33; code < 127; code++) add(String.fromCharCode(code), -6);
  for (const [a, b] of pairs) add(`▁${a}${b}`, -7);
  for (const [a, b] of pairs) add(a + b, -7.2);
  for (const [a, b] of pairs) for (const c of letters) add(`▁${a}${b}${c}`, -8);
  for (const [a, b] of pairs) for (const c of letters) add(a + b + c, -8.2);
  return [...pieces, ...[...extraTokens].reverse().map((token): [string, number] => [token, 0])];
}
