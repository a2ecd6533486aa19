"""Trains two small tokenizers, of CLIP's and of T5's kind, and writes the ids that transformers gives for prompts.py.

    python test/data/tokenizers/make.py             trains clip/ and t5/, writes expected.json
    python test/data/tokenizers/make.py --keep      writes expected.json alone, after model/ got other tokenizers
    python test/data/tokenizers/make.py --clip DIR --length N --out FILE      the same for any folder, or --t5 DIR

Needs transformers 5, tokenizers, sentencepiece and protobuf. In expected.json the padding at the end is left out.
"""

import argparse
import base64
import json
import tempfile
import unicodedata
from pathlib import Path

import sentencepiece
from sentencepiece import sentencepiece_model_pb2
from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer, PreTrainedTokenizerFast, T5Tokenizer

from prompts import prompts

here = Path(__file__).parent
model = here.parents[2] / "model"
start, end = "<|startoftext|>", "<|endoftext|>"


def write(path, value):
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n")


def train_clip(folder):
    """As diffusers ships CLIP-L: vocab.json and merges.txt, no tokenizer.json."""
    words = r"'s|'t|'re|'ve|'m|'ll|'d|[\p{L}]+|[\p{N}]|[^\s\p{L}\p{N}]+"
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFC(), normalizers.Replace(Regex(r"\s+"), " "), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [pre_tokenizers.Split(Regex(words), "removed", invert=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    tokenizer.train_from_iterator(prompts, trainers.BpeTrainer(
        vocab_size=900, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), end_of_word_suffix="</w>", show_progress=False))
    trained = json.loads(tokenizer.to_str())["model"]
    merges = [" ".join(pair) for pair in trained["merges"]]
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    pieces = alphabet + [letter + "</w>" for letter in alphabet] + ["".join(pair) for pair in trained["merges"]]
    vocab = {piece: i for i, piece in enumerate(dict.fromkeys(pieces + [start, end]))}
    special = {"lstrip": False, "normalized": True, "rstrip": False, "single_word": False, "special": True}
    write(folder / "vocab.json", vocab)
    (folder / "merges.txt").write_text("\n".join(["#version: 0.2", *merges]) + "\n")
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "CLIPTokenizer", "model_max_length": 77, "do_lower_case": True,
        "added_tokens_decoder": {str(vocab[token]): {"content": token, **special} for token in (start, end)},
        "bos_token": start, "eos_token": end, "unk_token": end, "pad_token": end})


def character_rules():
    """A part of nmt_nfkc, small enough to commit: spaces, controls, compatibility forms, and letters with one accent."""
    yield from ((chr(c), "") for c in [*range(1, 9), 11, *range(14, 32), 0x7F, 0x8F, 0x9F])
    yield from ((chr(c), " ") for c in [9, 10, 12, 13, 0x1680, *range(0x200B, 0x2010), 0x2028, 0x2029, 0x2581, 0xFEFF, 0xFFFD])
    for c in [*range(0xA0, 0x180), *range(0x2000, 0x2190), *range(0xFB00, 0xFB07), *range(0xFF01, 0xFFA0)]:
        text = chr(c)
        folded = unicodedata.normalize("NFKC", text)
        if folded != text and not 0x200B <= c < 0x2010 and c not in (0x2028, 0x2029):
            yield text, folded
        pair = unicodedata.normalize("NFD", text)
        if len(pair) == 2:
            yield pair, text


def train_t5(folder):
    """As T5-v1.1 is shipped: a Unigram model behind a precompiled character map."""
    with tempfile.TemporaryDirectory() as scratch:
        rules = dict(character_rules())
        spell = lambda text: " ".join(f"{ord(character):X}" for character in text)
        Path(scratch, "rules.tsv").write_text("".join(f"{spell(a)}\t{spell(b)}\n" for a, b in rules.items()))
        lines = [part.replace("\0", "") for prompt in prompts for part in prompt.splitlines() if part.strip()]
        Path(scratch, "corpus.txt").write_text("\n".join(line for line in lines if len(line) < 1000) + "\n")
        sentencepiece.SentencePieceTrainer.train(
            input=f"{scratch}/corpus.txt", model_prefix=f"{scratch}/t5", vocab_size=900, hard_vocab_limit=False,
            character_coverage=0.98, normalization_rule_tsv=f"{scratch}/rules.tsv", num_threads=1, minloglevel=2,
            pad_id=0, eos_id=1, unk_id=2, bos_id=-1)
        proto = sentencepiece_model_pb2.ModelProto.FromString(Path(scratch, "t5.model").read_bytes())
    vocab = [[piece.piece, round(piece.score, 6)] for piece in proto.pieces]
    vocab[:3] = [["<pad>", 0.0], ["</s>", 0.0], ["<unk>", 0.0]]
    special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    charsmap = base64.b64encode(proto.normalizer_spec.precompiled_charsmap).decode()
    metaspace = {"type": "Metaspace", "replacement": "▁", "add_prefix_space": True, "prepend_scheme": "first"}
    write(folder / "tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": vocab[i][0], **special} for i in range(3)],
        "normalizer": {"type": "Sequence", "normalizers": [
            {"type": "Precompiled", "precompiled_charsmap": charsmap},
            {"type": "Strip", "strip_left": False, "strip_right": True},
            {"type": "Replace", "pattern": {"Regex": " {2,}"}, "content": "▁"}]},
        "pre_tokenizer": metaspace,
        "post_processor": {"type": "TemplateProcessing", "pair": [],
                           "single": [{"Sequence": {"id": "A", "type_id": 0}}, {"SpecialToken": {"id": "</s>", "type_id": 0}}],
                           "special_tokens": {"</s>": {"id": "</s>", "ids": [1], "tokens": ["</s>"]}}},
        "decoder": metaspace,
        "model": {"type": "Unigram", "unk_id": 2, "byte_fallback": False, "vocab": vocab}})
    write(folder / "tokenizer_config.json", {
        "tokenizer_class": "T5Tokenizer", "model_max_length": 512, "extra_ids": 0,
        "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "<pad>"})


def expect(kind, folder, length):
    tokenizer = kind.from_pretrained(folder)
    lists = tokenizer(prompts, padding="max_length", truncation=True, max_length=length).input_ids
    pad = tokenizer.pad_token_id
    # One of CLIP's pads is the end itself.
    floor = 2 if pad == tokenizer.eos_token_id else 0
    for ids in lists:
        while len(ids) > floor and ids[-1] == pad and (floor == 0 or ids[-2] == pad):
            ids.pop()
    return {"folder": str(folder), "length": length, "ids": lists}


def save(path, sets):
    """One line for each prompt, so that a difference can be read."""
    for entry in sets.values():
        folder = Path(entry["folder"]).resolve()
        entry["folder"] = str(folder.relative_to(here.parents[2])) if folder.is_relative_to(here.parents[2]) else str(folder)
    heads = {name: {"folder": entry["folder"], "length": entry["length"]} for name, entry in sets.items()}
    rows = [{"prompt": prompt, **{name: entry["ids"][i] for name, entry in sets.items()}} for i, prompt in enumerate(prompts)]
    lines = ",\n".join(json.dumps(row, separators=(",", ":")) for row in rows)
    path.write_text(f'{{"sets": {json.dumps(heads)},\n"prompts": [\n{lines}\n]}}\n')


arguments = argparse.ArgumentParser()
arguments.add_argument("--keep", action="store_true")
arguments.add_argument("--clip", type=Path)
arguments.add_argument("--t5", type=Path)
arguments.add_argument("--length", type=int, default=77)
arguments.add_argument("--out", type=Path)
options = arguments.parse_args()

if options.clip or options.t5:
    kind = CLIPTokenizer if options.clip else T5Tokenizer
    save(options.out, {"given": expect(kind, options.clip or options.t5, options.length)})
else:
    if not options.keep:
        train_clip(here / "clip")
        train_t5(here / "t5")
    sets = {"clip": expect(CLIPTokenizer, here / "clip", 77), "t5": expect(T5Tokenizer, here / "t5", 256)}
    if (model / "tokenizer").exists():
        sets["modelClip"] = expect(CLIPTokenizer, model / "tokenizer", 48)
        sets["modelT5"] = expect(PreTrainedTokenizerFast, model / "tokenizer_2", 64)
    save(here / "expected.json", sets)
    print({name: len(entry["ids"]) for name, entry in sets.items()})
