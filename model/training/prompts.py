"""Instructions for edits, captions for scenes, and the two tokenizers made from them."""
import json
from collections import Counter
from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

from data import COLOR_NAMES, KINDS

TEXT_LENGTH = 24   # tokens per encoder, end token and padding included

RECOLOR = [
    "make the {thing} {new}", "turn the {thing} {new}", "change the {thing} to {new}", "paint the {thing} {new}",
    "recolor the {thing} {new}", "color the {thing} {new}", "change the color of the {thing} to {new}",
    "the {thing} should be {new}", "make the color of the {thing} {new}", "change the {thing} color to {new}",
]
REMOVE = [
    "remove the {thing}", "delete the {thing}", "erase the {thing}", "take away the {thing}", "get rid of the {thing}",
    "take the {thing} away", "remove the {thing} from the picture", "delete the {thing} from the image",
    "remove {thing}", "make the {thing} disappear",
]
BACKGROUND = [
    "make the {part} {new}", "change the {part} to {new}", "turn the {part} {new}", "paint the {part} {new}",
    "set the {part} to {new}", "change the color of the {part} to {new}", "the {part} should be {new}",
    "replace the {part} with {new}", "change the {part} color to {new}", "recolor the {part} {new}",
]
ADD = [
    "add {a} {new} {thing}{where}", "put {a} {new} {thing}{where}", "draw {a} {new} {thing}{where}",
    "place {a} {new} {thing}{where}", "insert {a} {new} {thing}{where}", "add one {new} {thing}{where}",
    "add {a} {thing} that is {new}{where}", "there should be {a} {new} {thing}{where}",
]
REPLACE = [
    "replace the {thing} with {a} {new} {to}", "swap the {thing} for {a} {new} {to}", "turn the {thing} into {a} {new} {to}",
    "change the {thing} into {a} {new} {to}", "exchange the {thing} for {a} {new} {to}", "change the {thing} to {a} {new} {to}",
    "make the {thing} {a} {new} {to}", "transform the {thing} into {a} {new} {to}",
]
POSITIONS = {("left", "middle"): ["on the left", "on the left side", "to the left"],
             ("right", "middle"): ["on the right", "on the right side", "to the right"],
             ("middle", "top"): ["at the top"], ("middle", "bottom"): ["at the bottom"],
             ("middle", "middle"): ["in the middle", "in the center"]}
EXTRAS = ["please", "a picture of", "an image of", "and", "in front of", "background", "sky", "ground", "under", "over",
          "on", "with", "keep everything else the same", "move the scene next to", "flower gray object shape ball dark light"]


def article(word):
    return "an" if word[0] in "aeiou" else "a"


def position(rng, words):
    horizontal, vertical = words
    if words in POSITIONS:
        return " " + rng.choice(POSITIONS[words])
    return rng.choice([f" at the {vertical} {horizontal}", f" in the {vertical} {horizontal}"])


def instruction(rng, edit):
    """A random phrasing of an edit (see data.edit_group)."""
    kind = edit["edit"]
    thing = edit.get("kind")
    if edit.get("old") and rng.random() < 0.5:
        thing = f"{edit['old']} {thing}"
    if kind == "recolor":
        text = rng.choice(RECOLOR).format(thing=thing, new=edit["new"])
    elif kind == "remove":
        text = rng.choice(REMOVE).format(thing=thing)
    elif kind == "background":
        if edit["part"] == "background" and rng.random() < 0.1:
            text = f"{edit['new']} background"
        else:
            text = rng.choice(BACKGROUND).format(**edit)
    elif kind == "add":
        text = rng.choice(ADD).format(a=article(edit["new"]), new=edit["new"], thing=edit["kind"], where=position(rng, edit["where"]))
        if " that " in text:
            text = text.replace(f" {article(edit['new'])} ", " a ", 1)
    else:
        same = edit["new"] == edit["old"]
        new, first = (edit["to"], edit["to"]) if same else (f"{edit['new']} {edit['to']}", edit["new"])
        text = rng.choice(REPLACE).replace("{new} {to}", "{new}").format(thing=thing, a=article(first), new=new)
    if rng.random() < 0.04:
        text = "please " + text
    return dress(rng, text)


def caption(rng, scene):
    """A description of a scene for text-to-image."""
    names = [f"{article(t.color)} {t.color} {t.kind}" for t in scene.things]
    rng.shuffle(names)
    text = " and ".join(names)
    if scene.ground:
        text += rng.choice([f" under a {scene.sky} sky on {scene.ground} ground", f" on {scene.ground} ground under a {scene.sky} sky"])
    else:
        text += f" on {article(scene.sky)} {scene.sky} background"
    return dress(rng, rng.choice(["", "", "a picture of "]) + text)


def dress(rng, text):
    if rng.random() < 0.2:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < 0.1 else "")


def words():
    texts = RECOLOR + REMOVE + BACKGROUND + ADD + REPLACE + EXTRAS + [p for v in POSITIONS.values() for p in v]
    text = " ".join(texts + COLOR_NAMES + KINDS + ["top", "bottom", "left", "right", "circle", "center"])
    for mark in "{}.":
        text = text.replace(mark, " ")
    return sorted(set(text.split()))


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
    """Prompts -> ids for both encoders, padded to TEXT_LENGTH, with a memory."""

    def __init__(self, root):
        self.clip = Tokenizer.from_file(str(Path(root) / "tokenizer/tokenizer.json"))
        self.t5 = Tokenizer.from_file(str(Path(root) / "tokenizer_2/tokenizer.json"))
        for tok, pad in ((self.clip, "<|endoftext|>"), (self.t5, "<pad>")):
            tok.enable_truncation(TEXT_LENGTH)
            tok.enable_padding(pad_id=tok.token_to_id(pad), pad_token=pad, length=TEXT_LENGTH)
        self.known = {}

    def __call__(self, prompt):
        """-> (clip ids, t5 ids)"""
        if prompt not in self.known:
            self.known[prompt] = self.clip.encode(prompt).ids, self.t5.encode(prompt).ids
        return self.known[prompt]


if __name__ == "__main__":
    root = Path(__file__).resolve().parent.parent
    build_clip(root / "tokenizer")
    build_t5(root / "tokenizer_2")
