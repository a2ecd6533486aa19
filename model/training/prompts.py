"""The two tokenizers, made from the words of the world."""
import json
import re
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

import edits
import frames
import phrases
import vocabulary
from drawings import GROUNDS, KINDS
from model_folder import MODEL
from vocabulary import plural
from world import COLOR_NAMES

TEXT_LENGTH = 32   # tokens per encoder, start and end included

SEVERAL = 3        # patterns that make a word one token


def strings(value):
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for v in value.values() if isinstance(value, dict) else value:
            yield from strings(v)


def texts_of(module):
    """Every string in the lists and tables of a module but those that are held apart for the evaluation."""
    return [t for name, value in vars(module).items() if not name.startswith(("_", "HELD")) and isinstance(value, (list, dict)) for t in strings(value)]


def words_in(text):
    return set(re.findall(r"[a-z]+", re.sub(r"{.*?}", " ", text)))


def words():
    """The words that are one token each: those of the world, of its plain sentences and of `vocabulary.py`, and those that several
    patterns have.

    All others stay in pieces: rare words of patterns, and those of things that the world does not have, as all that people will use.
    """
    texts = ["please keep everything else the same background sky brown black gray small little big object image and then"]
    texts += [t for module in (edits, vocabulary) for t in texts_of(module) if module is not vocabulary or len(t) > 2]
    texts += [plural(n) for table in (edits.NOUNS, vocabulary.NOUNS) for nouns in table.values() for n in nouns]
    texts += COLOR_NAMES + GROUNDS + KINDS
    counts = Counter(w for t in (*strings(phrases.PATTERNS), *strings(phrases.GROUNDS), *strings(phrases.SCENES), *texts_of(frames)) for w in words_in(t))
    return sorted(set().union(*map(words_in, texts)) | {w for w, n in counts.items() if n >= SEVERAL})


def merges(split, vocabulary):
    """Byte-pair merges, most frequent first, until every word of the vocabulary is one token."""
    pieces, rules = [split(w) for w in vocabulary], []
    while True:
        counts = Counter(pair for p in pieces for pair in zip(p, p[1:]))
        if not counts:
            return rules
        left, right = max(counts, key=lambda pair: (counts[pair], pair))
        rules.append((left, right))
        for p in pieces:
            i = 0
            while i + 1 < len(p):
                if (p[i], p[i + 1]) == (left, right):
                    p[i:i + 2] = [left + right]
                i += 1


def build_clip(folder):
    """Lower-casing byte-level BPE with a </w> word end, as CLIP's."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    rules = merges(lambda w: list(w[:-1]) + [w[-1] + "</w>"], words())
    vocab = alphabet + [c + "</w>" for c in alphabet]
    vocab += [a + b for a, b in rules]
    vocab = {t: i for i, t in enumerate(dict.fromkeys(vocab))}
    start, end = "<|startoftext|>", "<|endoftext|>"
    vocab[start], vocab[end] = len(vocab), len(vocab) + 1
    tok = Tokenizer(models.BPE(vocab, rules, unk_token=end, end_of_word_suffix="</w>", continuing_subword_prefix="", fuse_unk=False))
    tok.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    pattern = r"<\|startoftext\|>|<\|endoftext\|>|'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tok.pre_tokenizer = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(pattern), "removed", invert=True),
                                                 pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.RobertaProcessing((end, vocab[end]), (start, vocab[start]), False, False)
    tok.add_special_tokens([start, end])
    write(folder, tok, dict(tokenizer_class="CLIPTokenizer", bos_token=start, eos_token=end, unk_token=end, pad_token=end,
                            model_max_length=TEXT_LENGTH, do_lower_case=True, add_prefix_space=False,
                            clean_up_tokenization_spaces=True))


def build_t5(folder):
    """Lower-casing byte-level BPE with a leading space per word, pad 0, </s> 1."""
    special = ["<pad>", "</s>", "<unk>"]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    rules = merges(lambda w: ["Ġ"] + list(w), words())
    vocab = {t: i for i, t in enumerate(dict.fromkeys(special + alphabet + [a + b for a, b in rules]))}
    tok = Tokenizer(models.BPE(vocab, rules, unk_token="<unk>"))
    tok.normalizer = normalizers.Sequence([normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tok.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    tok.decoder = decoders.ByteLevel()
    tok.post_processor = processors.TemplateProcessing(single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)])
    tok.add_special_tokens(special)
    write(folder, tok, dict(tokenizer_class="PreTrainedTokenizerFast", eos_token="</s>", pad_token="<pad>", unk_token="<unk>",
                            model_max_length=TEXT_LENGTH, clean_up_tokenization_spaces=True))


def write(folder, tok, config):
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tok.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n")


class Texts:
    """Prompts -> ids for both encoders, padded to the lengths of the tokenizers, with a memory."""

    def __init__(self, root):
        self.clip = Tokenizer.from_file(str(Path(root) / "tokenizer/tokenizer.json"))
        self.t5 = Tokenizer.from_file(str(Path(root) / "tokenizer_2/tokenizer.json"))
        for tok, folder, pad in ((self.clip, "tokenizer", "<|endoftext|>"), (self.t5, "tokenizer_2", "<pad>")):
            length = json.loads((Path(root) / folder / "tokenizer_config.json").read_text())["model_max_length"]
            tok.enable_truncation(length)
            tok.enable_padding(pad_id=tok.token_to_id(pad), pad_token=pad, length=length)
        self.known = {}

    def __call__(self, prompt):
        """-> (clip ids, t5 ids)"""
        if prompt not in self.known:
            self.known[prompt] = self.clip.encode(prompt).ids, self.t5.encode(prompt).ids
        return self.known[prompt]

    def fits(self, prompt):
        """Whether neither encoder loses the end of it."""
        return not any(tok.encode(prompt).overflowing for tok in (self.clip, self.t5))


if __name__ == "__main__":
    build_clip(MODEL / "tokenizer")
    build_t5(MODEL / "tokenizer_2")
