"""What auxiliary readers are trained to tell: of a token what it shows, of a text what it asks for. Training only."""
from functools import lru_cache
from itertools import product

import numpy as np

from drawings import GROUNDS, KINDS, TIMES
from edits import NOUNS, plural
from world import COLOR_NAMES, COLUMNS, layout

AMOUNTS = ["small", "large", 1, 2, 3, 4]
TOKEN_FIELDS = [TIMES, GROUNDS, COLOR_NAMES, [1, 2, 3, 4, 5], ["edge", "ground"], [0, 1], KINDS, COLOR_NAMES, AMOUNTS,
                [(0, 0), (0, 1), (1, 0), (1, 1)]]
TOKEN_LABELS = sum(len(f) for f in TOKEN_FIELDS)
THINGS = slice(sum(len(f) for f in TOKEN_FIELDS[:6]), sum(len(f) for f in TOKEN_FIELDS[:7]))   # which thing, if any


def hot(fields, values):
    out = np.concatenate([np.array([v == w for w in field], np.uint8) for field, v in zip(fields, values)])
    return out


def token_labels(key):
    """(background key, part) -> uint8 [TOKEN_LABELS]"""
    back, part = key
    time = ground = plain = level = row = mark = None
    if back[0] == "neon":
        pass   # nothing that the readers know
    elif back[0] == "plain":
        plain = back[1]
    elif back[0] == "sky":
        _, time, ground, level, mark = back
    else:
        _, time, ground, row, mark = back
        row = "ground" if row else "edge"
    kind, color, amount, spot = (part[0], part[1], part[2], part[3:]) if part else (None,) * 4
    return hot(TOKEN_FIELDS, [time, ground, plain, level, row, mark, kind, color, amount, spot])


PLACE_LABELS = 6 * 4 + 6   # which part of which slot; how far above the horizon, or next below it


@lru_cache(None)
def place_labels(width, height):
    """-> float32 [tokens, PLACE_LABELS]: where in a picture of this size its tokens are."""
    lay = layout(width, height)
    out = np.zeros((*lay.grid, PLACE_LABELS), np.float32)
    for slot, r, c in lay.slots:
        at = 4 * (3 * (slot[0] == "sky") + COLUMNS.index(slot[1]))
        for i, j in product((0, 1), (0, 1)):
            out[r + i, c + j, at + 2 * i + j] = 1
    for r in range(lay.grid[0]):
        if r <= lay.horizon:
            out[r, :, 24 + min(lay.horizon - r, 5)] = 1
    return out.reshape(-1, PLACE_LABELS)


ACTIONS = ["recolor", "remove", "replace", "new", "move", "resize", "count"]
CHANGES = AMOUNTS + ["+1", "+2", "+3", "-1", "-2", "-3"]
PER_KIND = [ACTIONS, COLOR_NAMES, COLUMNS, CHANGES]
STRIDE = sum(len(f) for f in PER_KIND)
TAIL = len(TIMES) + len(GROUNDS) + len(COLOR_NAMES) + 1   # of the place, and whether it is a caption
TEXT_LABELS = STRIDE * len(KINDS) + TAIL


def text_labels(ops, scene=None):
    """Operations, or the scene that a caption describes -> uint8 [TEXT_LABELS]"""
    out = np.zeros(TEXT_LABELS, np.uint8)
    tail = STRIDE * len(KINDS)

    def kind(name, *values):
        at = KINDS.index(name) * STRIDE
        out[at:at + STRIDE] |= hot(PER_KIND, values)

    def place(time=None, ground=None, plain=None):
        out[tail:-1] |= hot([TIMES, GROUNDS, COLOR_NAMES], [time, ground, plain])
    for op in ops:
        do = op["do"]
        if do == "place":
            place(*op["place"]) if op["place"][0] else place(plain=op["place"][1])
        elif do in ("time", "ground"):
            place(**{do: op[do]})
        elif do == "replace":
            kind(op["kind"], "replace", None, None, None)
            kind(op["to"], "new", op.get("color"), None, None)
        else:
            amount = op.get("said", op.get("amount"))
            kind(op["kind"], {"add": "new"}.get(do, do), op.get("color"), op.get("column"), amount)
    if scene:
        out[-1] = 1
        for slot, t in scene.things:
            kind(t.kind, "new", t.color, slot[1], t.amount)
        place(*scene.place) if scene.place[0] else place(plain=scene.place[1])
    return out


def noun_kinds(tokenizer):
    """-> [vocabulary]: the number of the kind that a token names ("car", "cars"), or -1."""
    out = np.full(tokenizer.get_vocab_size(), -1)
    for n, kind in enumerate(KINDS):
        for noun in NOUNS[kind]:
            for word in (noun, plural(noun)):
                last = [i for i in tokenizer.encode(word, add_special_tokens=False).ids if i][-1]   # 0 is padding
                out[last] = n
    return out
