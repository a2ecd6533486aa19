"""The same request in other voices: 'how about painting the car red', 'the car should be painted red'."""
import re

IRREGULAR = """blow blown, bring brought, build built, cast cast, cut cut, do done, draw drawn, drive driven, find found, fly flown, get got, give given, grow grown, hang hung, hide hidden, keep kept,
lay laid, lead led, leave left, lose lost, make made, put put, recast recast, rebuild rebuilt, redo redone, redraw redrawn, remake remade, reset reset, rid rid, send sent, set set, show shown,
shrink shrunk, shut shut, sink sunk, slide slid, spread spread, stand stood, stick stuck, strike struck, sweep swept, swing swung, take taken, tear torn, throw thrown, undo undone, undraw undrawn,
unmake unmade, withdraw withdrawn, withhold withheld, write written, rewrite rewritten, overwrite overwritten"""
PARTICIPLES = dict(pair.split() for pair in re.split(r",\s+", IRREGULAR))
# verbs of which a passive means something else, or nothing
ACTIVE = {"make", "let", "have", "get", "give", "show", "go", "see", "do", "try", "keep", "finish", "pick", "choose", "use", "imagine", "stop", "forget", "disappear", "vanish", "prefer"}
DOUBLED = {"embed", "equip", "expel", "omit", "prefer", "transfer"}   # verbs of two syllables with the stress on the last
OBJECTS = ["{number} more {things}", "{number} further {things}", "{number} of the {plural}", "{number} {things}", "{extra}", "the color of {thing}", "the size of {thing}",
           "the number of {plural}", "the background", "the ground", "{thing}", "{new}"]
PASSIVES = ["~{o} should be {p}", "~{o} must be {p}", "~{o} needs to be {p}", "~{o} has to be {p}", "~{o} could be {p}", "~{o} ought to be {p}", "~{o} can be {p}", "~{o} is to be {p}",
            "~{o} should get {p}", "~{o} deserves to be {p}", "~i want {o} {p}", "~i'd like {o} {p}", "~i'd like {o} to be {p}", "~i want {o} to be {p}", "~i would like {o} {p}", "~i need {o} {p}",
            "~i'd love to have {o} {p}", "~i wish {o} was {p}", "~we want {o} {p}", "~can {o} be {p}", "~could {o} be {p}", "~could i get {o} {p}", "~can we get {o} {p}", "get {o} {p}", "have {o} {p}",
            "~let {o} be {p}", "~may {o} be {p}", "~what if {o} was {p}", "~it would be nice to have {o} {p}", "~it would be better if {o} was {p}", "~please see that {o} is {p}", "~is it possible to have {o} {p}"]


def ending(verb, end):
    """'paint' + 'ing'; a short verb doubles its last letter, a silent e is dropped."""
    if verb.endswith("e") and (end == "ed" or not verb.endswith(("ee", "oe", "ye"))):
        return verb[:-1] + end
    if end == "ed" and re.search(r"[^aeiou]y$", verb):
        return verb[:-1] + "ied"
    doubled = verb in DOUBLED or re.fullmatch(r"[^aeiou]*[aeiou][bdgklmnprt]", verb)
    return verb + (verb[-1] if doubled else "") + end


def gerund(verb):
    return ending(verb, "ing")


def participle(verb):
    return PARTICIPLES.get(verb) or ending(verb, "ed")


def passives(pattern):
    """-> the pattern in the passive, in all its frames; none where it has no verb with an object"""
    objects = "|".join(re.escape(o) for o in OBJECTS)
    match = re.fullmatch(rf"([a-z]+)((?: (?:out|in|away|up|down|off|over))?) ({objects})((?: .*|{{where}})?)", pattern)
    if not match or match[1] in ACTIVE or "{at}" in pattern or " and " in pattern:
        return []
    verb, particle, thing, rest = match.groups()
    return [p.replace("{o}", thing).replace("{p}", participle(verb) + particle + rest) for p in PASSIVES]
