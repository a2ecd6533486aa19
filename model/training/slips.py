"""Slips of the hand: one wrong letter, capitals, punctuation."""
import random
import re

NEAR = {a: b for a, b in zip("qwertyuiopasdfghjklzxcvbnm", "wertyuioposdfghjkklxcvbnmn")}


def misspelled(rng: random.Random, word):
    """One letter swapped with the next, left out, doubled, hit beside, or put in."""
    i, how = rng.randrange(len(word) - 1), rng.random()
    if how < .35:
        return word[:i] + word[i + 1] + word[i] + word[i + 2:]
    if how < .6:
        return word[:i + 1] + word[i + 2:]
    if how < .8:
        return word[:i] + word[i] + word[i:]
    if how < .9:
        return word[:i + 1] + NEAR.get(word[i + 1], "e") + word[i + 2:]
    return word[:i + 1] + rng.choice("aeiourstln") + word[i + 1:]


def slip(rng, text, known):
    """One word of four or more letters misspelled, so that it is no word of `known`."""
    words = [m for m in re.finditer(r"[a-z]{4,}", text)]
    for _ in range(4 if words else 0):
        m = rng.choice(words)
        wrong = misspelled(rng, m[0])
        if wrong not in known and wrong != m[0]:
            return text[:m.start()] + wrong + text[m.end():]
    return text


def punctuated(rng, text, question=False):
    roll = rng.random()
    if roll < .25:
        text += "?" if question else "."
    elif roll < .33:
        text += rng.choice(["!", "!!", "...", " !", "?"])
    if rng.random() < .06:
        text = text.replace(",", "")
    if rng.random() < .06:
        text = text.replace("'", rng.choice(["", "\u2019"]))
    return text


def capitals(rng, text):
    roll = rng.random()
    return text[:1].upper() + text[1:] if roll < .5 else text.upper() if roll < .54 else text.title() if roll < .56 else text
