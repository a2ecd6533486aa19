"""Edits of scenes: what they do, and the sentences that ask for them.

An operation is a dict: `do` and its arguments. Every operation has exactly one result on a scene of a given size.
"""
from dataclasses import replace

from drawings import COUNTED, GROUND_KINDS, GROUNDS, KINDS, SKY_KINDS, TIMES
from world import COLOR_NAMES, COLUMNS, PLACES, Thing, amounts, band, layout, random_place, random_scene

NOUNS = {
    "house": ["house", "house", "home", "cottage"], "tree": ["tree"], "car": ["car", "car", "automobile"],
    "boat": ["boat", "boat", "sailboat", "ship"], "ball": ["ball", "ball", "beach ball"], "flower": ["flower"],
    "mushroom": ["mushroom", "mushroom", "toadstool"], "balloon": ["balloon", "balloon", "hot air balloon"], "heart": ["heart"],
    "kite": ["kite"], "star": ["star"], "bird": ["bird"],
}
NUMBERS = ["no", "one", "two", "three", "four"]
RECOLOR = ["make the {thing} {new}", "turn the {thing} {new}", "change the {thing} to {new}", "paint the {thing} {new}",
           "recolor the {thing} {new}", "color the {thing} {new}", "change the color of the {thing} to {new}",
           "the {thing} should be {new}", "recolor the {thing} to {new}", "give the {thing} a {new} color"]
REMOVE = ["remove the {thing}", "delete the {thing}", "erase the {thing}", "take away the {thing}", "get rid of the {thing}",
          "take the {thing} away", "remove the {thing} from the picture", "make the {thing} disappear", "take out the {thing}"]
ADD = ["add {new}{where}", "put {new}{where}", "draw {new}{where}", "place {new}{where}", "insert {new}{where}",
       "there should be {new}{where}", "add {new} to the picture{where}"]
REPLACE = ["replace the {thing} with {new}", "swap the {thing} for {new}", "turn the {thing} into {new}",
           "change the {thing} into {new}", "exchange the {thing} for {new}", "transform the {thing} into {new}"]
MOVE = ["move the {thing} to the {column}", "put the {thing} on the {column}", "shift the {thing} to the {column}",
        "bring the {thing} to the {column}", "the {thing} should be on the {column}", "move the {thing} to the {column} side"]
LARGE = ["make the {thing} bigger", "make the {thing} larger", "enlarge the {thing}", "make the {thing} big",
         "increase the size of the {thing}", "the {thing} should be bigger", "grow the {thing}"]
SMALL = ["make the {thing} smaller", "shrink the {thing}", "make the {thing} small", "reduce the size of the {thing}",
         "the {thing} should be smaller"]
MORE = ["add {number} more {things}", "add {number} {things}", "draw {number} more {things}", "put {number} more {things}"]
FEWER = ["remove {number} {things}", "take away {number} {things}", "delete {number} {things}", "erase {number} of the {plural}"]
EXACTLY = ["make it {total} {things}", "there should be {total} {things}", "change the number of {plural} to {total}"]
TIME = {
    "day": ["make it day", "make it daytime", "change it to daytime", "turn night into day", "make the sky blue", "let it be a bright day"],
    "sunset": ["make it sunset", "change it to sunset", "make it evening", "show it at sunset", "make the sky orange", "turn it into a sunset"],
    "night": ["make it night", "change it to night", "make it nighttime", "show it at night", "turn day into night", "make the sky dark"],
}
GROUND = ["make the ground {ground}", "change the ground to {ground}", "turn the ground into {ground}", "replace the ground with {ground}",
          "put everything on {ground}", "let the ground be {ground}"]
PLAIN = ["make the background {new}", "change the background to {new}", "turn the background {new}", "set the background to {new}",
         "replace the background with plain {new}", "put everything on a {new} background", "use a plain {new} background"]
SCENE = ["change the background to {scene}", "replace the background with {scene}", "make the background {scene}", "change the scene to {scene}"]
SCENES = {"day": ["{ground} by day", "{ground} in the daytime"], "sunset": ["{ground} at sunset", "{ground} in the evening"],
          "night": ["{ground} at night", "{ground} by night"]}
WHERE = {"left": [" on the left", " on the left side", " to the left"], "middle": [" in the middle", " in the center"],
         "right": [" on the right", " on the right side", " to the right"]}
FRAMES = ["{}", "{}", "{}", "a picture of {}", "an image of {}", "an illustration of {}"]
SECOND = [" and {}", " and then {}", ", then {}", ". then {}"]


def default_amount(kind):
    return 1 if kind in COUNTED else "large"


def apply(scene, op, lay):
    """The scene after the operation; the same scene where it names what is not there."""
    do, kind = op["do"], op.get("kind")
    slot, thing = scene.find(kind) if kind else (None, None)
    if do == "add":
        column = op.get("column") or free_column(scene, band(kind), lay)
        target = (band(kind), column)
        return scene.put(target, Thing(kind, op["color"], op.get("amount") or default_amount(kind)))
    if do == "place":
        return replace(scene, place=op["place"])
    if do in ("time", "ground"):
        if scene.place[0] is None:
            return scene
        return replace(scene, place=(op["time"], scene.place[1]) if do == "time" else (scene.place[0], op["ground"]))
    if thing is None:
        return scene
    if do == "recolor":
        return scene.put(slot, replace(thing, color=op["color"]))
    if do == "remove":
        return scene.put(slot, None)
    if do == "replace":
        same = (kind in COUNTED) == (op["to"] in COUNTED)
        return scene.put(slot, Thing(op["to"], op.get("color") or thing.color, thing.amount if same else default_amount(op["to"])))
    if do == "move":
        return scene.put(slot, None).put((slot[0], op["column"]), thing)
    return scene.put(slot, replace(thing, amount=op["amount"]))   # resize, count


def free_columns(scene, band, lay):
    return [c for b, c in lay.names(band) if scene.at((b, c)) is None]


def free_column(scene, band, lay):
    """Where a thing goes that no place is named for: the middle of an empty band, else the first free place from the left."""
    free = [c for c in COLUMNS if c in free_columns(scene, band, lay)]
    return "middle" if len(free) == 3 else free[0]


DO = ["recolor", "replace", "add", "remove", "move", "resize", "place", "time", "ground", "count"]
SHARES = {"recolor": 14, "replace": 14, "add": 16, "remove": 10, "move": 13, "resize": 7, "place": 9, "time": 7, "ground": 7, "count": 9}


def propose(rng, scene, lay, do, without=()):
    """A random operation of this sort that changes the scene, or None. `without`: kinds it must not touch."""
    things = [(slot, t) for slot, t in scene.things if t.kind not in without]
    plain = scene.place[1] if scene.place[0] is None else None
    used = {t.color for _, t in scene.things}
    if do in ("time", "ground"):
        if plain or "place" in without:
            return None
        value = rng.choice([v for v in (TIMES if do == "time" else GROUNDS) if v not in scene.place])
        return dict(do=do, **{do: value})
    if do == "place":
        options = [p for p in PLACES if p != scene.place and not (p[0] is None and p[1] in used)]
        if "place" in without or not options:
            return None
        scenes = [p for p in options if p[0]]
        return dict(do=do, place=rng.choice(scenes if rng.random() < .45 else [p for p in options if not p[0]] or scenes))
    if do == "add":
        there = {t.kind for _, t in scene.things} | set(without)
        kinds = [k for k in KINDS if k not in there and free_columns(scene, band(k), lay)]
        if not kinds:
            return None
        kind = rng.choice(kinds)
        op = dict(do=do, kind=kind, color=rng.choice([c for c in COLOR_NAMES if c != plain]))
        if rng.random() < .35:
            op["amount"] = rng.choice(amounts(kind))
        if rng.random() < .85:
            op["column"] = rng.choice(free_columns(scene, band(kind), lay))
        return op
    fitting = {"resize": lambda t: t.kind not in COUNTED, "count": lambda t: t.kind in COUNTED}.get(do, lambda t: True)
    things = [(s, t) for s, t in things if fitting(t)]
    if not things:
        return None
    slot, t = rng.choice(things)
    op = dict(do=do, kind=t.kind)
    if do == "recolor":
        op["color"] = rng.choice([c for c in COLOR_NAMES if c not in (plain, t.color)])
    elif do == "replace":
        there = {x.kind for _, x in scene.things} | set(without)
        kinds = [k for k in (SKY_KINDS if slot[0] == "sky" else GROUND_KINDS) if k not in there]
        if not kinds:
            return None
        op["to"] = rng.choice(kinds)
        if rng.random() < .7:
            op["color"] = rng.choice([c for c in COLOR_NAMES if c != plain])
    elif do == "move":
        free = free_columns(scene, slot[0], lay)
        if not free:
            return None
        op["column"] = rng.choice(free)
    elif do == "resize":
        op["amount"] = "small" if t.amount == "large" else "large"
    elif do == "count":
        op["amount"] = rng.choice([n for n in range(1, 5) if n != t.amount])
    return op


def plural(noun):
    return noun + "s"


def named(rng, scene, kind, adjectives=.45):
    """'car', 'red car', 'small car', 'car on the left': what is said of a thing that is there (or not)."""
    slot, t = scene.find(kind)
    noun = rng.choice(NOUNS[kind])
    if t is None:
        return noun
    if kind in COUNTED and t.amount > 1 and rng.random() < .8:
        noun = plural(noun)
    roll = rng.random()
    if roll < adjectives:
        return f"{t.color} {noun}"
    if roll < adjectives + .07 and t.amount in ("small", "large"):
        return f"{t.amount} {noun}"
    return noun


def described(rng, kind, color, amount):
    """'a red car', 'a small red car', 'two red stars'."""
    noun = rng.choice(NOUNS[kind])
    if amount is None or amount == 1:
        words = f"{color} {noun}" if color else noun
        return f"one {words}" if amount == 1 and rng.random() < .2 else f"{article(words)} {words}"
    if kind in COUNTED:
        return f"{NUMBERS[amount]} {color + ' ' if color else ''}{plural(noun)}"
    size = rng.choice(["small", "small", "little"] if amount == "small" else ["large", "big"])
    return f"a {size} {color + ' ' if color else ''}{noun}"


def article(words):
    return "an" if words[0] in "aeiou" else "a"


def sentence(rng, scene, op):
    """One operation in words."""
    do, kind = op["do"], op.get("kind")
    if do == "time":
        return rng.choice(TIME[op["time"]])
    if do == "ground":
        return rng.choice(GROUND).format(ground=op["ground"])
    if do == "place":
        time, what = op["place"]
        if time is None:
            return rng.choice(PLAIN).format(new=what)
        return rng.choice(SCENE).format(scene=rng.choice(SCENES[time]).format(ground=what))
    if do == "add":
        where = rng.choice(WHERE[op["column"]]) if "column" in op else ""
        return rng.choice(ADD).format(new=described(rng, kind, op["color"], op.get("amount")), where=where)
    thing = named(rng, scene, kind)
    if do == "recolor":
        return rng.choice(RECOLOR).format(thing=thing, new=op["color"])
    if do == "remove":
        return rng.choice(REMOVE).format(thing=thing)
    if do == "replace":
        return rng.choice(REPLACE).format(thing=thing, new=described(rng, op["to"], op.get("color"), None))
    if do == "move":
        return rng.choice(MOVE).format(thing=thing, column={"middle": rng.choice(["middle", "center"])}.get(op["column"], op["column"]))
    if do == "resize":
        return rng.choice(LARGE if op["amount"] == "large" else SMALL).format(thing=thing)
    now = scene.find(kind)[1]
    noun, change = rng.choice(NOUNS[kind]), op["amount"] - (now.amount if now else 0)
    words = dict(number=NUMBERS[abs(change)] if abs(change) <= 4 else "four", total=NUMBERS[op["amount"]], plural=plural(noun),
                 things=noun if abs(change) == 1 else plural(noun))
    if rng.random() < .3:
        op["said"] = op["amount"]
        words["things"] = noun if op["amount"] == 1 else plural(noun)
        return rng.choice(EXACTLY).format(**words)
    op["said"] = f"{change:+d}"
    return rng.choice(MORE if change > 0 else FEWER).format(**words)


def dress(rng, text):
    if rng.random() < .06 and not text.startswith(("the ", "there ")):
        text = "please " + text
    if rng.random() < .25:
        text = text[0].upper() + text[1:]
    return text + ("." if rng.random() < .12 else "")


def caption(rng, scene, lay):
    """A description of a whole scene for text-to-image: every thing with its place."""
    parts = [described(rng, t.kind, t.color, t.amount if t.amount != "large" or rng.random() < .3 else None)
             + rng.choice(WHERE[slot[1]][:2]) for slot, t in scene.things]
    rng.shuffle(parts)
    time, what = scene.place
    text = " and ".join(parts) if len(parts) < 3 else ", ".join(parts[:-1]) + " and " + parts[-1]
    if time is None:
        back = rng.choice(["", "plain "]) + what
        text += f" on {article(back)} {back} background"
    else:
        text += rng.choice([" over ", " with ", ", "]) + rng.choice(SCENES[time]).format(ground=what)
    return rng.choice(FRAMES).format(text)


def random_edit(rng, scene, lay, steps=1, do=None):
    """-> (operations, scene after them, instruction), or None if there is none of this sort."""
    ops, now, texts, touched = [], scene, [], []
    for _ in range(steps):
        sort = do or rng.choices(DO, [SHARES[d] for d in DO])[0]
        op = propose(rng, now, lay, sort, touched)
        if op is None:
            return None
        texts.append(sentence(rng, now, op))
        ops.append(op)
        touched += [op[k] for k in ("kind", "to") if k in op] or ["place"]
        now = apply(now, op, lay)
    text = texts[0] + "".join(rng.choice(SECOND).format(t) for t in texts[1:])
    return ops, now, dress(rng, text)


def idle_edit(rng, scene, lay):
    """An instruction about something that is not in the scene."""
    there = {t.kind for _, t in scene.things}
    missing = rng.choice([k for k in KINDS if k not in there])
    do = rng.choice(["recolor", "remove", "move", "resize", "replace"])
    slot = (band(missing), rng.choice(lay.names(band(missing)))[1])
    absent = Thing(missing, rng.choice(COLOR_NAMES), default_amount(missing))
    if do == "resize" and missing in COUNTED:
        do = "remove"
    # asked of a scene in which only the missing thing is
    alone = replace(scene, things=((slot, absent),))
    op = propose(rng, alone, lay, do)
    return ([op], scene, dress(rng, sentence(rng, alone if rng.random() < .5 else scene, op))) if op else None
