"""What auxiliary readers are trained to tell: of a token what it shows, of a text what it asks for. Training only."""
from functools import lru_cache

import numpy as np

from drawings import GROUNDS, KINDS, TIMES
from world import COLOR_NAMES, COLUMNS

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
    if back[0] == "plain":
        plain = back[1]
    elif back[0] == "sky":
        _, time, ground, level, mark = back
    else:
        _, time, ground, row, mark = back
        row = "ground" if row else "edge"
    kind, color, amount, spot = (part[0], part[1], part[2], part[3:]) if part else (None,) * 4
    return hot(TOKEN_FIELDS, [time, ground, plain, level, row, mark, kind, color, amount, spot])


ACTIONS = ["recolor", "remove", "replace", "new", "move", "resize", "count"]
CHANGES = AMOUNTS + ["+1", "+2", "+3", "-1", "-2", "-3"]
PER_KIND = [ACTIONS, COLOR_NAMES, COLUMNS, CHANGES]
STRIDE = sum(len(f) for f in PER_KIND)
TEXT_LABELS = STRIDE * len(KINDS) + len(TIMES) + len(GROUNDS) + len(COLOR_NAMES) + 1


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
