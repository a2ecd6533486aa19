"""Sentences that ask for nothing the world has. `HELD` lists are for the evaluation alone."""
import phrases
import vocabulary as v
from drawings import COUNTED, KINDS, SKY_KINDS
from world import COLUMNS

THINGS = """dog cat horse cow sheep pig goat mouse lion tiger elephant monkey bear wolf fox rabbit chicken duck fish whale shark snake frog spider ant bee
butterfly dragon unicorn robot alien ghost monster person man woman child baby boy girl people crowd king queen soldier clown chair table lamp bed sofa desk door
window roof chimney fence wall bridge road street path river mountain hill volcano castle tower church skyscraper barn tent garden bench swing slide train plane
airplane rocket helicopter bus truck bicycle bike motorcycle tractor submarine spaceship ufo cloud sun moon rainbow rain lightning fog wave rock stone island
apple banana cake pizza burger cookie bread cheese bottle cup glass plate spoon knife book pen phone computer camera clock watch guitar piano drum hat shirt dress
shoe coat crown ring umbrella bag box gift candle fire smoke flag sign statue snowman pumpkin cactus palm bush leaf grape carrot tomato egg wheel lantern kettle
letter text logo number word face eye nose hand smile shadow frame border arrow circle square triangle cube pyramid""".split()
HELD_THINGS = """penguin giraffe kangaroo owl turtle crocodile dinosaur wizard pirate astronaut doctor policeman windmill lighthouse temple fountain ladder wardrobe
carpet mirror telescope violin trumpet skateboard scooter ambulance tram canoe waterfall glacier comet planet sandwich strawberry pineapple teapot backpack glasses
scarf helmet keyboard television""".split()
COLORS = """black brown gray grey silver beige transparent rainbow colorful striped dotted invisible shiny metallic dark bright wooden golden-brown pale
plaid checkered translucent colourless""".split()
HELD_COLORS = "bronze charcoal khaki glittering ebony spotted chocolate copper".split()
STYLES = """van gogh|picasso|monet|an oil painting|a watercolor|a pencil sketch|a cartoon|anime|pixel art|a photograph|a photo|real life|a movie|a comic|a poster
|lego|clay|the simpsons|studio ghibli|cyberpunk|steampunk|art deco|a stained glass window|a children's drawing|rembrandt|a black and white photo|a vintage postcard""".replace("\n", "").split("|")
HELD_STYLES = "salvador dali|a charcoal drawing|a renaissance painting|an old photograph|a video game|origami|a mosaic|disney".split("|")
STYLED = ["make it look like {style}", "in the style of {style}", "turn it into {style}", "make this {style}", "paint it like {style}", "as {style}", "convert it to {style}",
          "{style} style", "give it the look of {style}", "redraw it as {style}", "change the style to {style}", "i want it to look like {style}"]
CAMERA = """blur the background|sharpen the image|crop it|rotate the picture|rotate it by 90 degrees|flip the image|mirror it|zoom in|zoom out|increase the contrast|more contrast
|make it brighter|make it darker please|upscale the image|improve the quality|enhance|make it better|make it nicer|make it more beautiful|fix it|denoise the picture|remove the noise
|add a filter|make it sepia|make it black and white|desaturate|more saturation|less saturation|add a vignette|change the perspective|change the angle|show it from above|from the side
|make the sky pink|paint the sky green|turn the sky red|make the sky purple|make the ground red|paint the ground blue|make it 3d|make it realistic|make it photorealistic|animate it|make a video|make it square|make it wider|extend the picture|add a border|add a caption|write hello|write my name
|add text saying hello|put a watermark|remove the watermark|change the lighting|add more light|add shadows|remove the shadows|make the colors pop|make it cold|make it warm|make it cozy
|make it scary|make it funny|make it modern|make it old|surprise me|do something|do something cool|do your magic|make it rain|add fog|make it stormy|make it windy|make it cloudy
|make it autumn|make it spring|make it christmas|make it halloween|change everything|undo|undo that|go back|start over|again|one more time|something else|do it again""".replace("\n", "").split("|")
HELD_CAMERA = """adjust the exposure|reduce the brightness|tilt the camera|make it look professional|add some bokeh|invert the colors|make it monochrome|turn it upside down|cut it in half
|straighten the horizon|make the picture more dramatic|let it thunder|make it easter|make it hot|compress the file|make it more interesting""".replace("\n", "").split("|")
CHAT = """hello|hi|hey there|good morning|thanks|thank you|thank you very much|ok|okay|yes|no|maybe|lol|haha|test|testing|asdf|asdfgh|qwerty|foo bar|hmm|wow|nice|great|cool|awesome
|nice picture|i like it|i love it|i don't like it|looks good|what a lovely picture|how are you|who are you|what is this|what is that|what can you do|help|help me|can you help me
|tell me a joke|what time is it|why|how|where|when|who made this|are you a robot|what do you see|describe the picture|describe this image|what is in the picture|is this art
|i am bored|i am hungry|good job|well done|sorry|never mind|stop|wait|please|please do|bye|goodbye|see you|the weather is fine|it is late|my name is tom|i live in london
|one two three|123|42|1|?|!|...|the|a|and|it|this|that one|lorem ipsum dolor sit amet|to be or not to be|once upon a time|keep it as it is|leave it as it is|do nothing|don't change anything
|keep everything the same|nothing|no change|it is perfect|leave everything as it is""".replace("\n", "").split("|")
HELD_CHAT = """good evening|how is it going|that is really pretty|can you hear me|what is your name|who painted this|tell me a story|could you explain this picture|i have no idea
|just looking around|not sure what i want|all fine|keep up the good work|where was this taken|just checking|it is fine as it is""".replace("\n", "").split("|")
ABOUT = ["what color is {thing}", "what is {thing}", "where is {thing}", "is {thing} {color}", "how big is {thing}", "why is {thing} {color}", "i like {thing}", "i love {thing}",
         "what a nice {noun}", "nice {noun}", "is there a {noun}", "how many {plural} are there", "do you see {thing}", "who drives {thing}", "{thing} is {color}", "{thing} looks nice",
         "there is a {noun}", "i have a {color} {noun} at home", "my favorite color is {color}", "do you like {plural}", "{plural} are {color}", "which {noun} is that"]
HELD_ABOUT = ["tell me about {thing}", "have you noticed {thing}", "whose {noun} is that", "{thing} reminds me of home", "is {thing} really {color}", "count the {plural}"]
DOING = ["rotate {thing}", "make {thing} dance", "open the door of {thing}", "make {thing} faster", "make {thing} older", "put a hat on {thing}", "give {thing} a hat", "make {thing} smile",
         "make {thing} transparent", "blur {thing}", "make {thing} blurry", "flip {thing}", "make {thing} fly", "make {thing} realistic", "make {thing} prettier", "turn {thing} around",
         "set {thing} on fire", "break {thing}", "wash {thing}", "sell {thing}", "add wheels to {thing}", "add windows to {thing}", "put {thing} in a box", "zoom in on {thing}",
         "make {thing} shiny", "make {thing} taller and thinner", "move {thing} behind the {other}", "move {thing} forward", "bend {thing}", "put a person in {thing}", "make {thing} old",
         "look at {thing}", "describe {thing}", "outline {thing}", "highlight {thing}", "make {thing} glow", "make {thing} round", "make {thing} wooden", "rename {thing}", "copy {thing}"]
HELD_DOING = ["tilt {thing}", "make {thing} spin", "put a sticker on {thing}", "make {thing} cheaper", "light up {thing}", "make {thing} look worn", "photograph {thing}", "ask {thing} for help",
              "hold {thing}", "make {thing} more detailed"]
BEYOND = ["swap the {noun} and the {other}", "swap {thing} and {second}", "exchange the places of {thing} and {second}", "remove everything", "remove everything except {thing}",
          "delete all but {thing}", "make everything {color}", "paint everything {color}", "move everything to the {column}", "make all things bigger", "remove the thing on the {column}",
          "paint the thing on the {column} {color}", "move the {color} thing", "recolor the other one", "put {thing} next to {second}", "put {thing} on top of {second}",
          "make {thing} the same color as {second}", "let {thing} and {second} change places", "remove the biggest thing", "paint it all {color}", "make both {color}",
          "make it {color}", "paint it {color}", "remove it", "move it to the {column}", "make it bigger", "make them {color}",
          "make {thing} {color} and move it to the {column}", "move {thing} to the {column} and paint it {color}", "make {thing} bigger and move it to the {column}"]
HELD_BEYOND = ["let {thing} and {second} trade places", "everything but {thing} should go", "make all of it {color}", "paint what is in the {column} {color}"]
NEGATED = ["don't remove {thing}", "do not remove {thing}", "don't paint {thing} {color}", "don't make {thing} {color}", "never move {thing}", "do not change {thing}", "don't touch {thing}",
           "keep {thing}", "{thing} should stay", "{thing} should not be {color}", "i don't want {thing} to be {color}", "don't add a {noun}", "don't turn {thing} {color}", "leave {thing} as it is",
           "please don't make it night", "don't make it winter", "don't move {thing} to the {column}", "do not make {thing} bigger", "i like {thing} the way it is"]
HELD_NEGATED = ["please do not paint {thing} {color}", "whatever you do, don't remove {thing}", "{thing} stays where it is", "no need to change {thing}"]
FOREIGN = """mach das auto rot|entferne den baum|füge ein haus hinzu|mach es nacht|bitte das haus blau malen|stelle den ball nach links|ersetze den baum durch ein haus|guten tag|was ist das
|rends la voiture rouge|enlève l'arbre|ajoute une maison|mets le ballon à gauche|change le fond en bleu|bonjour|qu'est-ce que c'est|il fait nuit|haz el coche rojo|quita el árbol|añade una casa
|pon el globo a la izquierda|hola|qué es esto|buenas noches|rendi la macchina rossa|togli l'albero|aggiungi una casa|sposta la palla a sinistra|ciao|che cos'è|faça o carro vermelho|remova a árvore
|adicione uma casa|olá|maak de auto rood|verwijder de boom|voeg een huis toe|hallo|zrób samochód czerwony|usuń drzewo|dodaj dom|cześć|сделай машину красной|убери дерево|добавь дом|привет
|把汽车变成红色|删除这棵树|添加一座房子|你好|車を赤くして|木を消して|家を追加して|こんにちは|자동차를 빨간색으로|나무를 지워|안녕하세요|اجعل السيارة حمراء|مرحبا|αφαίρεσε το δέντρο|arabayı kırmızı yap|ağacı kaldır|merhaba""".replace("\n", "").split("|")
HELD_FOREIGN = """färbe die blume gelb|lösche den vogel|peins la maison en vert|supprime le bateau|pinta la casa de amarillo|borra el barco|colora la casa di verde|gör bilen blå|ta bort trädet|lav bilen rød
|tee autosta sininen|udělej auto modré|зроби будинок синім|покрась дом в синий|把房子涂成蓝色|家を青くして|집을 파란색으로|اجعل المنزل أزرق""".replace("\n", "").split("|")
CAPTIONS = ["a {x}", "a picture of a {x}", "a {x} and a {y}", "a photo of a {x} on a {y}", "an image of a {color} {x}", "a {x} with a {y}", "two {x}s", "a portrait of a {x}", "{x}", "{x} {y}"]


def fill(rng, pattern, held, speech):
    """A pattern about a thing of the world, in people's words."""
    kind, second = rng.sample(KINDS, 2)
    noun, other = v.noun_of(rng, kind, held), v.noun_of(rng, second, held)
    return pattern.format(thing=f"the {noun}", second=f"the {other}", noun=noun, other=other, plural=v.plural(noun),
                          color=v.color_of(rng, rng.choice(list(v.COLORS)), held), column=rng.choice(COLUMNS))


def unknown_thing(rng, held):
    if rng.random() < .3:
        return v.invented(rng)
    return rng.choice(HELD_THINGS if held else THINGS)


def unknown_color(rng, held):
    if rng.random() < .15:
        return v.invented(rng)
    return rng.choice(HELD_COLORS if held else COLORS)


def with_strangers(rng, held, speech):
    """An instruction of the world's grammar in which one thing or colour is not of the world."""
    do = rng.choice(["recolor", "recolor color", "remove", "add", "add color", "replace", "replace new", "move", "large", "small", "more", "plain", "ground"])
    name, _, what = do.partition(" ")
    kind = rng.choice(KINDS)
    if name == "more" and rng.random() < .5:   # there is one house at most
        kind = rng.choice([k for k in KINDS if k not in COUNTED])
        what = "known"
    noun = v.noun_of(rng, kind, held) if what else unknown_thing(rng, held)
    adjective = v.color_of(rng, rng.choice(list(v.COLORS)), held) + " " if rng.random() < .3 else ""
    old, new = (v.color_of(rng, c, held) for c in rng.sample(list(v.COLORS), 2))
    color = unknown_color(rng, held) if what == "color" or name == "plain" else new
    if name == "add":
        new = speech.article(f"{color} {noun}") if what else speech.article((f"{color} " if rng.random() < .4 else "") + noun)
    elif name == "replace":
        stranger = unknown_thing(rng, held) if what else v.noun_of(rng, rng.choice(KINDS), held)
        new = speech.article((f"{color} " if rng.random() < .4 else "") + stranger)
    else:
        new = color
    column = rng.choice(COLUMNS)
    band = "sky" if kind in SKY_KINDS else "ground"
    where = rng.choice(["", "", " " + v.where_of(rng, column, band, held), f" next to the {v.noun_of(rng, kind, held)}"])
    number = rng.choice(v.TOTALS[rng.randint(1, 4)])
    words = dict(thing=f"the {adjective}{noun}", bare=noun, noun=noun, old=old, new=new, where=where, at=v.where_of(rng, column, band, held), to=speech.to_of(rng, column, band, held),
                 number=number, things=v.plural(noun), plural=v.plural(noun), extra="another " + noun, ground=unknown_thing(rng, held))
    return (rng.choice(phrases.HELD_PATTERNS[name]) if held else phrases.pattern_of(rng, name)).format(**words)


SHARES = {"strange": 40, "style": 7, "camera": 7, "chat": 7, "about": 8, "doing": 9, "beyond": 9, "negated": 8, "foreign": 6, "caption": 5, "noise": 3}


def outside(rng, held, speech, sort=None):
    """-> a sentence of which nothing is to be done (`~` before one that no frame fits)"""
    sort = sort or rng.choices(list(SHARES), SHARES.values())[0]
    if sort == "strange":
        return with_strangers(rng, held, speech)
    if sort == "style":
        return rng.choice(STYLED).format(style=rng.choice(HELD_STYLES if held else STYLES))
    if sort == "camera":
        return rng.choice(HELD_CAMERA if held else CAMERA)
    if sort == "chat":
        return "~" + rng.choice(HELD_CHAT if held else CHAT)
    if sort == "foreign":
        return "~" + rng.choice(HELD_FOREIGN if held else FOREIGN)
    if sort == "noise":
        return "~" + " ".join(v.invented(rng) for _ in range(rng.randint(1, 6)))
    if sort == "caption":
        words = dict(x=unknown_thing(rng, held), y=unknown_thing(rng, held), color=rng.choice(list(v.COLORS)))
        return "~" + rng.choice(CAPTIONS).format(**words)
    lists = {"about": (ABOUT, HELD_ABOUT, "~"), "doing": (DOING, HELD_DOING, ""), "beyond": (BEYOND, HELD_BEYOND, ""), "negated": (NEGATED, HELD_NEGATED, "~")}
    seen, unseen, mark = lists[sort]
    return mark + fill(rng, rng.choice(unseen if held else seen), held, speech)
