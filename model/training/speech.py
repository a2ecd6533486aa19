"""Instructions as people speak, each with the plain sentence of `edits.py` that asks for the same.

The text encoders are trained to give for the former what they gave for the latter (`train_text.py`).
"""
import random
import re
from functools import lru_cache

import frames
import phrases
import vocabulary as v
from drawings import COUNTED, KINDS
from edits import NUMBERS, apply, article as a_or_an, caption, default_amount, idle_edit, propose
from edits import DO, SHARES
from outside import outside
from prompts import words
from slips import capitals, punctuated, slip
from voices import gerund
from world import COLOR_NAMES, COLUMNS, band

NOTHING = ""   # the plain sentence of those that ask for nothing that the world has
# words without which a sentence says the same, and words that add nothing to one; the latter stay in pieces, as all that people may say
SMALL_WORDS = ("the", "a", "an", "to", "of", "be", "is")
IDLE_WORDS = """so well then here there today also just only even still yet soon often always maybe perhaps surely clearly simply quickly slowly nicely gladly truly indeed anyway besides
finally suddenly mostly rather quite very when where how why as since because though although until before after during about across among between we you they he she people everyone
somebody friend team way time week year moment world life place case point fact part side word name hand eye school book page line list note plan step task job look think know believe
guess suppose feel see watch say tell speak call try need wish hope love enjoy choose start begin continue finish help use find good better best nice fine great cool""".split()


@lru_cache(None)
def known_words():
    """Words that no slip of the hand may make."""
    return set(words())


def article(words):
    return f"{'an' if words[:1] in 'aeiou' and words[:2] not in ('un', 'eu') else 'a'} {words}"


def to_of(rng, column, place, held):
    if not held and rng.random() < .55 or held and rng.random() < .3:
        side = rng.choice(["left", "right"]) if column == "middle" else column
        return (rng.choice(["to the middle", "to the center", "to the centre", "in the middle", "into the middle", "to the middle of the picture"]) if column == "middle" else
                rng.choice([f"to the {side}", f"to the {side}", f"to the {side} side", side, f"over to the {side}", f"to the far {side}", f"to the {side} of the picture",
                            f"on the {side}", f"further {side}", f"{side}wards"]))
    return v.where_of(rng, column, place, held)


def thing_words(rng, scene, kind, held, adjective=.4):
    """-> 'the red car', 'my car', 'the birds on the left'; the noun alone; and it without an article"""
    slot, t = scene.find(kind)
    noun = v.noun_of(rng, kind, held)
    many = t is not None and kind in COUNTED and (t.amount != 1) and rng.random() < .85
    if many:
        noun = v.plural(noun)
    words, roll = noun, rng.random()
    if t is not None and roll < adjective:
        words = f"{v.color_of(rng, t.color, held)} {noun}"
    elif t is not None and roll < adjective + .08 and t.amount in ("small", "large"):
        words = f"{rng.choice(v.SMALL if t.amount == 'small' else v.LARGE)} {noun}"
    after = f" {rng.choice(['on the', 'at the', 'to the'])} {slot[1]}" if t is not None and slot[1] != "middle" and rng.random() < .05 else ""
    after = after or (rng.choice([" in the picture", " there", " here"]) if rng.random() < .04 else "")
    roll = rng.random()
    lead = "the " if roll < .84 else "" if roll < .9 else rng.choice(["all the ", "all ", "these ", "those "] if many else ["that ", "this ", "my ", "your ", "our "])
    if many and t.amount == 2 and rng.random() < .12:
        lead = rng.choice(["both ", "both the ", "the two "])
    return lead + words + after, noun, words + after


def new_words(rng, kind, color, amount, held):
    """'a crimson automobile', 'two little stars'"""
    noun = v.noun_of(rng, kind, held)
    shade = v.color_of(rng, color, held) + " " if color else ""
    if kind in COUNTED:
        if amount in (None, 1):
            return rng.choice(["one ", "1 ", "a single "]) + shade + noun if amount and rng.random() < .2 else article(shade + noun)
        return f"{rng.choice(v.TOTALS[amount])} {shade}{v.plural(noun)}"
    size = "" if amount is None else rng.choice(v.SMALL if amount == "small" else v.LARGE) + " "
    if size and shade and rng.random() < .2:
        return article(shade + size + noun)
    return article(size + shade + noun)


def plain(op, scene):
    """The plain sentence of an operation."""
    do, kind = op["do"], op.get("kind")
    if do == "recolor":
        return f"turn the {kind} {op['color']}"
    if do == "remove":
        return f"remove the {kind}"
    if do == "move":
        return f"move the {kind} to the {op['column']}"
    if do == "resize":
        return f"make the {kind} {'bigger' if op['amount'] == 'large' else 'smaller'}"
    if do == "replace":
        words = f"{op['color']} {op['to']}" if op.get("color") else op["to"]
        return f"replace the {kind} with {a_or_an(words)} {words}"
    if do == "add":
        words, amount = f"{op['color']} {kind}", op.get("amount")
        if kind in COUNTED and amount not in (None, 1):
            words = f"{NUMBERS[amount]} {words}s"
        elif kind in COUNTED:
            words = f"{a_or_an(words)} {words}"
        else:
            words = f"a {amount} {words}" if amount else f"{a_or_an(words)} {words}"
        return f"add {words}" + {None: "", "left": " on the left", "middle": " in the middle", "right": " on the right"}[op.get("column")]
    if do == "time":
        return {"day": "make it daytime", "sunset": "make it sunset", "night": "make it night"}[op["time"]]
    if do == "ground":
        return f"change the ground to {op['ground']}"
    if do == "place":
        time, what = op["place"]
        return f"use a plain {what} background" if time is None else f"change the background to {what} {dict(day='by day', sunset='at sunset', night='at night')[time]}"
    if op["said"] == op["amount"]:
        return f"there should be {NUMBERS[op['amount']]} {kind}{'' if op['amount'] == 1 else 's'}"
    change = int(op["said"])
    # "remove one star" is close to "remove the star", and the transformer took one for the other
    return f"add {NUMBERS[change]} more {kind}{'' if change == 1 else 's'}" if change > 0 else f"erase {NUMBERS[-change]} of the {kind}s"


def pattern_of(rng, sort, held):
    return rng.choice(phrases.HELD_PATTERNS[sort]) if held else phrases.pattern_of(rng, sort)


def spoken(rng, scene, op, held):
    """One operation in people's words; `~` before a whole sentence."""
    do, kind = op["do"], op.get("kind")
    if do == "time":
        return pattern_of(rng, op["time"], held)
    if do == "ground":
        own = op["ground"] in phrases.PATTERNS and (not held or op["ground"] in phrases.HELD_PATTERNS) and rng.random() < .4
        return pattern_of(rng, op["ground"] if own else "ground", held).format(ground=rng.choice(phrases.GROUNDS[op["ground"]]))
    if do == "place":
        time, what = op["place"]
        if time is None:
            return pattern_of(rng, "plain", held).format(new=v.color_of(rng, what, held))
        return pattern_of(rng, "scene", held).format(scene=rng.choice(phrases.SCENES[time]).format(ground=rng.choice(phrases.GROUNDS[what])))
    place = band(kind)
    if do == "count":
        now = scene.find(kind)[1]
        change, noun = op["amount"] - (now.amount if now else 0), v.noun_of(rng, kind, held)
        op["said"] = op["amount"] if rng.random() < .3 else f"{change:+d}"
        number = rng.choice(v.TOTALS[min(abs(change), 4)])
        extra = rng.choice([f"another {noun}", f"one more {noun}", f"an extra {noun}", f"an additional {noun}"]) if change == 1 else \
            rng.choice([f"{number} extra {v.plural(noun)}", f"another {number} {v.plural(noun)}", f"{number} additional {v.plural(noun)}"]) if change > 1 else ""
        words = dict(number=number, things=noun if abs(change) == 1 else v.plural(noun), plural=v.plural(noun), extra=extra, total=rng.choice(v.TOTALS[op["amount"]]),
                     totals=noun if op["amount"] == 1 else v.plural(noun))
        sort = "exactly" if op["said"] == op["amount"] else "more" if change > 0 else "fewer"
        pattern = rng.choice(phrases.UNKNOWN_VERB["more"]) if sort == "more" and unknown_verb(rng, held) else pattern_of(rng, sort, held)
        return pattern.format(verb=v.invented(rng), **words) if "{verb}" in pattern else pattern.format(**words)
    column = op.get("column")
    where = v.where_of(rng, column, place, held) if column else ""
    if do == "add":
        new = new_words(rng, kind, None if op.get("usual") else op["color"], op.get("amount"), held)
        pattern = rng.choice(phrases.UNKNOWN_VERB["add"]) if unknown_verb(rng, held) and column else pattern_of(rng, "add", held)
        where = where or (rng.choice(v.ANYWHERE[place]) if (roll := rng.random()) < .25 else beside(rng, scene) if roll < .35 and not held else "")
        if "{at}" in pattern and not where:
            pattern = "~i want {new}{where}"
        if "{at}" in pattern:
            return pattern.format(new=new, at=where)
        return pattern.format(new=new, where=where and " " + where, verb=v.invented(rng), picture=rng.choice(PICTURE) if "{picture}" in pattern else "")
    thing, noun, bare = thing_words(rng, scene, kind, held)
    t = scene.find(kind)[1]
    sort = {"resize": op.get("amount")}.get(do, do)
    if do == "resize":
        sort = "large" if op["amount"] == "large" else "small"
    pattern = rng.choice(phrases.UNKNOWN_VERB[sort]) if unknown_verb(rng, held) else pattern_of(rng, sort, held)
    new = v.color_of(rng, op["color"], held) if do == "recolor" else new_words(rng, op["to"], op.get("color"), None, held) if do == "replace" else ""
    old = v.color_of(rng, t.color if t else rng.choice(COLOR_NAMES), held)
    return pattern.format(thing=thing, noun=noun, bare=bare, new=new, old=old, to=to_of(rng, column, place, held) if column else "", verb=v.invented(rng),
                          picture=rng.choice(PICTURE), **{"with": rng.choice(["with", "by", "for"])})


PICTURE = ["picture", "image", "scene"]


def beside(rng, scene):
    """Where a thing may be asked to stand that then stands where it would without a place: the text does not see the picture."""
    kind = rng.choice([t.kind for _, t in scene.things] or KINDS)
    return rng.choice(["next to", "beside", "near", "by", "close to"]) + " the " + v.noun_of(rng, kind, False)


def unknown_verb(rng, held):
    return not held and rng.random() < .1


def framed(rng, text, held, others):
    """With what people say around an instruction: `others` are things that it might name as not to be touched."""
    whole, text = text.startswith("~"), text.removeprefix("~")
    if not held and not whole and rng.random() < .1:
        verb, _, rest = text.partition(" ")
        frame = rng.choice(frames.GERUND)
        text, whole = frame.removeprefix("~").format(f"{gerund(verb)} {rest}"), True
    if not held and rng.random() < .25:   # in the words that carry the meaning, before others come around them
        text = slip(rng, text, known_words())
    if rng.random() < .1 and others is not None:
        other = rng.choice([*frames.OTHERS, *others]) if others else rng.choice(frames.OTHERS)
        text = rng.choice(frames.HELD_ALONE if held else frames.ALONE).format(text, other=other)
        whole = True
    if not whole and rng.random() < (.45 if held else .3):
        text = rng.choice(frames.HELD_ASKED if held else frames.ASKED).format(text)
    if rng.random() < (.25 if held else .15):
        text = rng.choice(frames.HELD_AROUND if held else frames.AROUND).format(text)
    if not held and rng.random() < .06:   # a word that says nothing, anywhere
        words = text.split(" ")
        words.insert(rng.randint(0, len(words)), v.invented(rng))
        text = " ".join(words)
    if not held and rng.random() < .12:
        word = v.invented(rng) if rng.random() < .25 else " ".join(rng.choices(IDLE_WORDS, k=rng.randint(1, 6)))
        text = rng.choice([f"{word} {text}", f"{word}, {text}", f"{word}, {text}", f"{text} {word}", f"{text}, {word}"])
    if not held and rng.random() < .06:   # said in a hurry
        words = text.split(" ")
        small = [n for n, word in enumerate(words) if word in SMALL_WORDS]
        if small:
            del words[rng.choice(small)]
        text = " ".join(words)
    return text


def dressed(rng, text, slips):
    text = re.sub(r"\ba (?=[aeio])", "an ", text)
    question = bool(re.match(r"(could|can|would|will|is |what|how|why|may|any)", text))
    if rng.random() < slips:
        text = slip(rng, text, known_words())
    return capitals(rng, punctuated(rng, text, question))


def slips_of(held):
    """The share of sentences with a slip of the hand anywhere."""
    return .22 if held else .2


@lru_cache(None)
def patterns_of_it(sort):
    return [p for p in phrases.PATTERNS[sort] if "{thing}" in p and not any(slot in p for slot in ("{noun}", "{old}", "{bare}"))]


def of_it(rng, sort, color=""):
    """What is done to the thing just named, in any pattern of training: 'paint it red', 'it should be bigger'."""
    pattern = rng.choice(patterns_of_it(sort))
    return pattern.removeprefix("~").replace("{thing}'s", "its").format(thing="it", new=color)


def joined(rng, first, second):
    text = rng.choice(frames.JOINED[:8]).format(first.removeprefix("~"), second)
    return ("~" if first.startswith("~") else "") + text


def same_thing(rng, scene, lay, held):
    """Two things done to one, the second by a pronoun -> operations, after, words, plain sentence; or None"""
    sort = rng.choice(["resize", "add", "replace"])
    op = propose(rng, scene, lay, sort)
    if op is None or (sort == "add" and op["kind"] in COUNTED):
        return None
    it = "it"
    if sort == "resize":
        t = scene.find(op["kind"])[1]
        plain_place = scene.place[1] if scene.place[0] is None else None
        second = dict(do="recolor", kind=op["kind"], color=rng.choice([c for c in COLOR_NAMES if c not in (plain_place, t.color)]))
        first = spoken(rng, scene, op, held)
        words = rng.choice(["make {it} {c}", "paint {it} {c}", "color {it} {c}", "turn {it} {c}"]).format(it=it, c=v.color_of(rng, second["color"], held))
        if not held and rng.random() < .5:
            words = of_it(rng, "recolor", v.color_of(rng, second["color"], held))
        if rng.random() < .5 and not first.startswith("~"):   # the other way round
            thing = thing_words(rng, scene, op["kind"], held)[0]
            resized = rng.choice(["make it bigger", "make it larger", "enlarge it"] if op["amount"] == "large" else ["make it smaller", "shrink it"])
            resized = of_it(rng, op["amount"], "") if not held and rng.random() < .5 else resized
            first, words = rng.choice(["make {t} {c}", "paint {t} {c}", "turn {t} {c}"]).format(t=thing, c=v.color_of(rng, second["color"], held)), resized
        ops, sentence = [op, second], f"{plain(op, scene)} and then {plain(second, scene)}"
        return ops, apply(apply(scene, op, lay), second, lay), joined(rng, first, words), sentence
    color = op.get("color") or rng.choice([c for c in COLOR_NAMES if c != scene.place[1]])
    op["color"] = color
    if sort == "add":
        column, op = op.get("column"), dict(op, usual=True)
        move = column is not None and rng.random() < .3
        first = spoken(rng, scene, {k: x for k, x in op.items() if k != "column"} if move else op, held)
    else:
        move, first = False, spoken(rng, scene, {k: x for k, x in op.items() if k != "color"}, held)
    tail = f"make {it} {v.color_of(rng, color, held)}" if rng.random() < .6 else f"paint {it} {v.color_of(rng, color, held)}"
    if not held and rng.random() < .5:
        tail = of_it(rng, "recolor", v.color_of(rng, color, held))
    if move:
        tail = f"make {it} {v.color_of(rng, color, held)} and put {it} {v.where_of(rng, op['column'], band(op['kind']), held)}"
    op.pop("usual", None)
    return [op], apply(scene, op, lay), joined(rng, first, tail), plain(op, scene)


GAPPED = {"add": ["add", "put", "draw", "i want", "insert", "place"], "recolor": ["make", "paint", "turn", "color"], "remove": ["remove", "delete", "take away", "get rid of", "erase"],
          "move": ["move", "put", "bring", "shift"], "replace": ["replace", "swap", "exchange", "switch"], "resize": ["make"]}


def gapped(rng, scene, lay, held):
    """'paint the car red and the tree blue', 'remove the car and the tree', 'add a red car and a blue bird'; or None"""
    do = rng.choice(["recolor", "remove", "add"] if held else ["recolor", "recolor", "remove", "remove", "add", "add", "move", "replace", "resize"])
    first = propose(rng, scene, lay, do)
    if first is None:
        return None
    now = apply(scene, first, lay)
    second = propose(rng, now, lay, do, [first[k] for k in ("kind", "to") if k in first])
    if second is None:
        return None
    if do == "add":
        parts = [new_words(rng, o["kind"], o["color"], o.get("amount"), held) + (" " + v.where_of(rng, o["column"], band(o["kind"]), held) if "column" in o else "") for o in (first, second)]
    else:
        parts = [thing_words(rng, s, o["kind"], held)[0] for s, o in ((scene, first), (now, second))]
    if do == "recolor":
        parts = [f"{p} {v.color_of(rng, o['color'], held)}" for p, o in zip(parts, (first, second))]
    elif do == "move":
        parts = [f"{p} {to_of(rng, o['column'], band(o['kind']), held)}" for p, o in zip(parts, (first, second))]
    elif do == "replace":
        joint = rng.choice(["with", "by", "for"])
        parts = [f"{p} {joint} {new_words(rng, o['to'], o.get('color'), None, held)}" for p, o in zip(parts, (first, second))]
    elif do == "resize":
        parts = [f"{p} {rng.choice(['bigger', 'larger'] if o['amount'] == 'large' else ['smaller', 'tiny'])}" for p, o in zip(parts, (first, second))]
    words = f"{rng.choice(GAPPED[do])} {parts[0]} and {parts[1]}"
    return [first, second], apply(now, second, lay), words, f"{plain(first, scene)} and then {plain(second, now)}"


def instruction(rng, scene, lay, held=False, do=None):
    """-> operations, scene after them, people's sentence, plain sentence; or None. `do`: a sort of edits.DO, 'two steps' or None for any."""
    others = [f"the {v.noun_of(rng, t.kind, held)}" for _, t in scene.things]
    roll = rng.random()
    two = do == "two steps" or do is None and roll < .26
    if two and (kind := rng.random()) < .4:
        made = (same_thing if kind < .2 else gapped)(rng, scene, lay, held)
        if made is None:
            return None
        ops, after, words, sentence = made
        return ops, after, dressed(rng, framed(rng, words, held, None), slips_of(held)), sentence
    ops, now, texts, sentences, touched = [], scene, [], [], []
    for _ in range(2 if two else 1):
        op = propose(rng, now, lay, do if do in DO else rng.choices(DO, [SHARES[d] for d in DO])[0], touched)
        if op is None:
            return None
        if op["do"] == "add" and op["kind"] not in COUNTED and rng.random() < .15 and v.USUAL[op["kind"]] != scene.place[1]:
            op = dict(op, color=v.USUAL[op["kind"]], usual=True)
        texts.append(spoken(rng, now, op, held))
        op.pop("usual", None)
        ops.append(op)
        sentences.append(plain(op, now))
        touched += [op[k] for k in ("kind", "to") if k in op] or ["place"]
        now = apply(now, op, lay)
    if two:
        text = rng.choice(frames.HELD_JOINED if held else frames.JOINED).format(*(t.removeprefix("~") for t in texts))
        whole = texts[0].startswith("~") or not text.startswith(texts[0])
        text = ("~" if whole else "") + text
    else:
        text = texts[0]
    untouched = [o for o, (_, t) in zip(others, scene.things) if t.kind not in touched]
    return ops, now, dressed(rng, framed(rng, text, held, None if two else untouched), slips_of(held)), " and then ".join(sentences)


DRAWN = ["{}", "{}", "{}", "draw {}", "i want {}", "show me {}", "a picture of {}", "an image of {}", "an illustration of {}", "please draw {}", "make a picture of {}", "create {}", "paint {}",
         "i'd like a picture of {}", "generate an image of {}", "can you draw {}"]


def described_scene(rng, scene, lay, held=False):
    """-> a description of the scene in people's words, the plain one"""
    seed = rng.random()
    sentence = caption(random.Random(seed), scene, lay)
    for frame in ("a picture of ", "an image of ", "an illustration of "):
        sentence = sentence.removeprefix(frame)
    if rng.random() < .3:
        return rng.choice(DRAWN).format(sentence), sentence
    parts = [new_words(rng, t.kind, t.color, t.amount if t.amount != "large" or rng.random() < .3 else None, held) + " " + v.where_of(rng, slot[1], slot[0], held) for slot, t in scene.things]
    time, what = scene.place
    text = " and ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + " and " + parts[-1]
    if time is None:
        back = rng.choice(["", "plain "]) + v.color_of(rng, what, held)
        text += f" on {article(back)} background"
    else:
        text += rng.choice([" over ", " with ", ", ", " on "]) + rng.choice(phrases.SCENES[time]).format(ground=rng.choice(phrases.GROUNDS[what]))
    plain_parts = [described_plain(t) + {"left": " on the left", "middle": " in the middle", "right": " on the right"}[slot[1]] for slot, t in scene.things]
    plain_text = " and ".join(plain_parts) if len(parts) < 3 else ", ".join(plain_parts[:-1]) + " and " + plain_parts[-1]
    plain_text += f" on a plain {what} background" if time is None else f" over {what} {dict(day='by day', sunset='at sunset', night='at night')[time]}"
    return rng.choice(DRAWN).format(text), plain_text


def described_plain(t):
    if t.kind in COUNTED and t.amount > 1:
        return f"{NUMBERS[t.amount]} {t.color} {t.kind}s"
    words = f"{'small ' if t.amount == 'small' else ''}{t.color} {t.kind}"
    return f"{a_or_an(words)} {words}"


class Speech:
    """What `outside` needs of this module."""
    article = staticmethod(article)
    to_of = staticmethod(to_of)


def nonsense(rng, held=False, sort=None):
    """-> a sentence that asks for nothing of the world"""
    return dressed(rng, framed(rng, outside(rng, held, Speech, sort), held, None), .1)
