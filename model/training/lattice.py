"""Every picture of a token that the world can show, and its latent.

The autoencoder treats each cell on its own, so a picture's latent is a table lookup: scenes need not be rendered to train.
What is drawn in neon is for the LoRA and the decoder alone.
"""
from functools import lru_cache
from itertools import product

import numpy as np

from drawings import GROUND_KINDS, KINDS, SKY_KINDS
from world import COLOR_NAMES, PLACES, PRACTICE, SIZES, amounts, backdrop, layout, token_pixels


@lru_cache(None)
def backgrounds():
    """-> keys of all bare tokens, keys of those under each part: {(band, i, j): set}"""
    bare, under = set(), {}
    for place in PLACES:
        for w, h in SIZES + PRACTICE:
            keys, lay = backdrop(place, w, h), layout(w, h)
            bare |= set(keys.values())
            for slot, r, c in lay.slots:
                for i, j in product((0, 1), (0, 1)):
                    under.setdefault((slot[0], i, j), set()).add(keys[r + i, c + j])
    return sorted(bare, key=repr), {k: sorted(v, key=repr) for k, v in under.items()}


@lru_cache(None)
def all_keys():
    """Every (background key, part); a colour is never on the plain background of the same name."""
    bare, under = backgrounds()
    keys = [(b, None) for b in bare]
    for kind in KINDS:
        band = "sky" if kind in SKY_KINDS else "ground"
        for color, amount, i, j in product(COLOR_NAMES, amounts(kind), (0, 1), (0, 1)):
            keys += [(b, (kind, color, amount, i, j)) for b in under[band, i, j] if b != ("plain", color)]
    return keys


@lru_cache(None)
def neon_keys():
    """The same of pictures in neon; only the lower half of things on the ground can stand before the horizon's tube."""
    keys = [(("neon", line), None) for line in (False, True)]
    for kind in KINDS:
        for amount, i, j in product(amounts(kind), (0, 1), (0, 1)):
            lines = (False, True) if kind in GROUND_KINDS and i else (False,)
            keys += [(("neon", line), (kind, None, amount, i, j)) for line in lines]
    return keys
