"""The words that people use for the world's things, colours and places.

`HELD` is never seen in training: it is for the evaluation alone.
"""
import random

NOUNS = {
    "house": ["house", "house", "house", "home", "cottage", "cabin", "hut", "villa", "bungalow", "building", "farmhouse", "little house"],
    "tree": ["tree", "tree", "tree", "oak", "pine", "spruce", "birch", "maple", "pine tree", "oak tree", "leafy tree"],
    "car": ["car", "car", "car", "automobile", "auto", "vehicle", "sedan", "motor car", "hatchback", "passenger car"],
    "boat": ["boat", "boat", "boat", "sailboat", "ship", "yacht", "sailing boat", "vessel", "dinghy", "little boat"],
    "ball": ["ball", "ball", "ball", "beach ball", "beachball", "bouncy ball", "play ball"],
    "flower": ["flower", "flower", "flower", "blossom", "bloom", "tulip", "daisy", "poppy", "little flower"],
    "mushroom": ["mushroom", "mushroom", "mushroom", "toadstool", "shroom", "forest mushroom"],
    "balloon": ["balloon", "balloon", "balloon", "hot air balloon", "hot-air balloon", "air balloon", "airship"],
    "heart": ["heart", "heart", "heart", "love heart", "valentine heart", "valentine"],
    "kite": ["kite", "kite", "kite", "toy kite", "diamond kite"],
    "star": ["star", "star", "star", "little star", "shiny star"],
    "bird": ["bird", "bird", "bird", "gull", "seagull", "swallow", "sparrow", "birdie", "dove", "little bird"],
}
HELD_NOUNS = {
    "house": ["country house", "family home", "wooden cabin"], "tree": ["apple tree", "old oak", "fir tree"],
    "car": ["sports car", "family car", "race car"], "boat": ["wooden boat", "tiny sailboat", "fishing boat"],
    "ball": ["rubber ball", "toy ball"], "flower": ["wild flower", "pretty flower", "garden flower"],
    "mushroom": ["wild mushroom", "edible mushroom"], "balloon": ["party balloon", "big round balloon"],
    "heart": ["lovely heart", "painted heart"], "kite": ["paper kite", "flying kite"], "star": ["bright star", "glowing star"],
    "bird": ["flying bird", "song bird", "wild bird"],
}
COLORS = {
    "red": ["red", "red", "red", "crimson", "scarlet", "ruby", "cherry red", "bright red", "dark red", "ruby red"],
    "orange": ["orange", "orange", "orange", "tangerine", "amber", "pumpkin orange", "dark orange"],
    "yellow": ["yellow", "yellow", "yellow", "golden", "gold", "lemon", "canary yellow", "bright yellow"],
    "green": ["green", "green", "green", "emerald", "lime", "lime green", "olive", "forest green", "dark green", "light green"],
    "blue": ["blue", "blue", "blue", "navy", "azure", "sky blue", "dark blue", "light blue", "cobalt", "navy blue", "sapphire"],
    "purple": ["purple", "purple", "purple", "violet", "lilac", "lavender", "mauve", "plum", "light purple"],
    "pink": ["pink", "pink", "pink", "rose", "magenta", "fuchsia", "hot pink", "light pink", "salmon pink"],
    "white": ["white", "white", "white", "ivory", "snow white", "bright white", "snowy white"],
}
HELD_COLORS = {
    "red": ["blood red", "tomato red"], "orange": ["bright orange", "burnt orange"], "yellow": ["lemon yellow", "pale yellow"],
    "green": ["grass green", "emerald green"], "blue": ["royal blue", "deep blue"], "purple": ["deep purple", "royal purple"],
    "pink": ["pale pink", "bubblegum pink"], "white": ["pure white", "milky white"],
}
# modifiers that say nothing of the kind or the colour: training mixes them in, so that others are read over as well
MODIFIERS = ["nice", "cute", "lovely", "beautiful", "fancy", "funny", "simple", "new", "old", "round", "pretty"]
# the same, in pieces as any word that training does not know; a tuple, for the lists of this module become tokens
ADJECTIVES = tuple("""antique modern plastic shabby elegant ordinary strange weird curious gorgeous handsome charming adorable awesome boring dull clean dirty dusty wet dry warm cold cozy comfy cheap
expensive rich poor lonely sad angry sleepy quiet loud noisy famous special perfect broken crooked straight curved flat smooth rough soft hard heavy thin thick fat slim sturdy solid hollow
empty full open closed neat tidy clumsy silly goofy odd common rare typical classic vintage rustic rural urban local foreign holiday stormy leafy woolly furry silky glassy stony sandy muddy mossy lucky brave noble magic magical dreamy sweet sour juicy ripe young aged ancient tired""".split())
WHERE = {
    "left": ["on the left", "on the left side", "to the left", "at the left", "on the left hand side", "over on the left", "at the far left",
             "left", "on the far left", "on the left of the picture", "in the left part", "on the left edge"],
    "middle": ["in the middle", "in the center", "in the centre", "at the center", "in the middle of the picture", "right in the middle",
               "at the centre of the image", "in the central part"],
    "right": ["on the right", "on the right side", "to the right", "at the right", "on the right hand side", "over on the right",
              "at the far right", "right", "on the far right", "on the right of the picture", "in the right part", "on the right edge"],
}
HELD_WHERE = {
    "left": ["on the left side of the scene", "over to the left", "at the left end"], "middle": ["in the very middle", "in the middle part", "dead center"],
    "right": ["on the right side of the scene", "over to the right", "at the right end"],
}
CORNERS = {
    "sky": {"left": ["at the top left", "in the top left corner", "in the sky on the left", "up on the left", "top left", "in the upper left", "in the left of the sky"],
            "middle": ["at the top in the middle", "in the middle of the sky", "top center", "in the sky in the middle"],
            "right": ["at the top right", "in the top right corner", "in the sky on the right", "up on the right", "top right", "in the upper right", "in the right of the sky"]},
    "ground": {"left": ["at the bottom left", "in the bottom left corner", "on the ground on the left", "down on the left", "bottom left", "in the lower left"],
               "middle": ["at the bottom in the middle", "in the middle of the ground", "bottom center", "on the ground in the middle"],
               "right": ["at the bottom right", "in the bottom right corner", "on the ground on the right", "down on the right", "bottom right", "in the lower right"]},
}
ANYWHERE = {"sky": ["in the sky", "up in the sky", "in the air", "somewhere"], "ground": ["on the ground", "somewhere", "down on the ground"]}
SMALL = ["small", "small", "little", "tiny", "mini"]
LARGE = ["large", "big", "big", "huge", "giant"]
TOTALS = {0: ["no", "zero", "0"], 1: ["one", "1", "a single"], 2: ["two", "2", "a pair of", "a couple of"], 3: ["three", "3"], 4: ["four", "4"]}
# the colour of a thing that is asked for without one
USUAL = {"house": "white", "tree": "green", "car": "red", "boat": "blue", "ball": "red", "balloon": "red", "heart": "red", "kite": "yellow",
         "flower": "red", "mushroom": "red", "star": "yellow", "bird": "blue"}
IRREGULAR = {"daisy": "daisies", "poppy": "poppies", "dinghy": "dinghies"}


def plural(noun):
    head, _, last = noun.rpartition(" ")
    return (head + " " if head else "") + IRREGULAR.get(last, last + "s")


def noun_of(rng, kind, held):
    if held and rng.random() < .3:
        return rng.choice(HELD_NOUNS[kind])
    noun = rng.choice(NOUNS[kind])
    return f"{modifier(rng)} {noun}" if rng.random() < (.04 if held else .16) else noun


def modifier(rng):
    roll = rng.random()
    return rng.choice(MODIFIERS) if roll < .35 else rng.choice(ADJECTIVES) if roll < .75 else invented(rng)


def color_of(rng, color, held):
    words = rng.choice(HELD_COLORS[color] if held and rng.random() < .3 else COLORS[color])
    return f"{modifier(rng)} {words}" if not held and rng.random() < .06 else words


def where_of(rng, column, band, held):
    if held and rng.random() < .35:
        return rng.choice(HELD_WHERE[column])
    return rng.choice(CORNERS[band][column] if rng.random() < .3 else WHERE[column])


ONSETS = "b c d f g h j k l m n p r s t v w z br ch cl cr dr fl fr gl gr pl pr sh sk sl sn sp st th tr wh".split()
VOWELS = "a e i o u a e i o ai ea ee oo ou y".split()
CODAS = ["", "", "", "n", "r", "t", "l", "s", "k", "m", "d", "ck", "nd", "st", "ng", "sh", "p", "rt"]


def invented(rng: random.Random):
    """A word that means nothing."""
    word = "".join(rng.choice(ONSETS) + rng.choice(VOWELS) + rng.choice(CODAS) for _ in range(rng.choice([1, 2, 2, 3])))
    return word + rng.choice(["", "", "", "e", "er", "y", "ing", "ed"])
