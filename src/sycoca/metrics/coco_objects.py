"""The 80 object categories of COCO and the words by which captions name them, for CHAIR.

The table is our own. The published list (Rohrbach et al., EMNLP 2018, arXiv 1809.02156, section 2.1) is longer, above
all for professions of people, breeds and brands; ours adds phrases that name a place and no object ("train station").
So figures of both lists are not to be compared with each other.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import cache

WORDS_OF_CATEGORY: Mapping[str, tuple[str, ...]] = {
    "person": (
        "man",
        "woman",
        "boy",
        "girl",
        "child",
        "kid",
        "baby",
        "toddler",
        "infant",
        "guy",
        "gentleman",
        "lady",
        "adult",
        "teenager",
        "people",
        "men",
        "women",
        "children",
        "player",
        "batter",
        "pitcher",
        "catcher",
        "umpire",
        "skier",
        "snowboarder",
        "skateboarder",
        "skater",
        "surfer",
        "rider",
        "cyclist",
        "bicyclist",
        "biker",
        "motorcyclist",
        "driver",
        "pedestrian",
        "passenger",
        "worker",
        "chef",
        "cook",
        "waiter",
        "officer",
        "policeman",
        "soldier",
        "student",
        "bride",
        "groom",
        "crowd",
        "family",
        "couple",
        "mother",
        "father",
        "male",
        "female",
    ),
    "bicycle": ("bike",),
    "car": ("automobile", "suv", "sedan", "taxi", "cab", "jeep", "van", "minivan", "police car"),
    "motorcycle": ("motorbike", "motor bike", "motor cycle", "scooter", "moped"),
    "airplane": (
        "plane",
        "aeroplane",
        "air plane",
        "aircraft",
        "jet",
        "airliner",
        "jetliner",
        "passenger jet",
        "biplane",
    ),
    "bus": ("trolley bus", "minibus"),
    "train": ("locomotive", "subway train", "tram", "passenger train"),
    "truck": ("pickup", "lorry", "fire truck", "firetruck", "pickup truck", "semi truck"),
    "boat": ("ship", "sailboat", "canoe", "kayak", "rowboat", "ferry", "yacht", "raft", "gondola"),
    "traffic light": ("stoplight", "stop light", "traffic signal", "street light", "streetlight"),
    "fire hydrant": ("hydrant",),
    "stop sign": (),
    "parking meter": (),
    "bench": ("park bench",),
    "bird": (
        "duck",
        "seagull",
        "gull",
        "pigeon",
        "parrot",
        "goose",
        "owl",
        "swan",
        "eagle",
        "pelican",
        "hen",
        "rooster",
    ),
    "cat": ("kitten", "kitty"),
    "dog": ("puppy", "pup"),
    "horse": ("pony", "foal", "mare", "stallion"),
    "sheep": ("lamb", "ram", "ewe"),
    "cow": ("cattle", "bull", "calf", "ox", "steer"),
    "elephant": (),
    "bear": ("polar bear", "grizzly", "panda", "bear cub"),
    "zebra": (),
    "giraffe": (),
    "backpack": ("back pack", "knapsack", "rucksack"),
    "umbrella": ("parasol",),
    "handbag": ("purse", "hand bag"),
    "tie": ("necktie", "bow tie", "bowtie"),
    "suitcase": ("suit case", "luggage"),
    "frisbee": (),
    "skis": ("ski",),
    "snowboard": ("snow board",),
    "sports ball": ("ball", "baseball", "basketball", "football", "soccer ball", "tennis ball", "volleyball"),
    "kite": (),
    "baseball bat": ("bat",),
    "baseball glove": ("mitt", "baseball mitt", "catcher 's mitt"),
    "skateboard": ("skate board",),
    "surfboard": ("surf board", "longboard"),
    "tennis racket": ("racket", "racquet", "tennis racquet"),
    "bottle": ("beer bottle", "water bottle", "wine bottle"),
    "wine glass": ("wineglass",),
    "cup": ("mug", "coffee cup", "teacup"),
    "fork": (),
    "knife": ("butter knife",),
    "spoon": (),
    "bowl": (),
    "banana": (),
    "apple": (),
    "sandwich": ("burger", "hamburger", "cheeseburger", "panini"),
    "orange": (),
    "broccoli": (),
    "carrot": (),
    "hot dog": ("hotdog",),
    "pizza": (),
    "donut": ("doughnut",),
    "cake": ("cupcake", "cheesecake"),
    "chair": ("armchair", "stool", "recliner", "high chair"),
    "couch": ("sofa", "loveseat"),
    "potted plant": ("houseplant", "house plant", "plant"),
    "bed": ("bunk bed",),
    "dining table": ("table", "desk", "coffee table"),
    "toilet": ("toilet seat", "urinal", "toilet bowl"),
    "tv": ("television", "tv screen", "tv set", "television set"),
    "laptop": ("laptop computer", "notebook computer"),
    "mouse": ("computer mouse",),
    "remote": ("remote control", "game controller"),
    "keyboard": ("computer keyboard",),
    "cell phone": ("cellphone", "phone", "mobile phone", "smartphone", "smart phone", "telephone"),
    "microwave": ("microwave oven",),
    "oven": ("stove", "stove top oven"),
    "toaster": (),
    "sink": (),
    "refrigerator": ("fridge", "freezer"),
    "book": (),
    "clock": ("clock tower",),
    "vase": (),
    "scissors": (),
    "teddy bear": ("teddy", "stuffed bear"),
    "hair drier": ("hairdryer", "hair dryer", "blow dryer"),
    "toothbrush": ("tooth brush",),
}
"""By category the other words for it, in the singular unless only the plural is irregular; the name itself counts."""

NAMELESS_PHRASES = (
    "home plate",
    "train station",
    "train track",
    "train platform",
    "bus stop",
    "bus station",
    "car park",
    "book shelf",
    "tennis table",
    "horse shoe",
)
"""Phrases that hold the word for an object and name none."""

_YOUNG_OR_GROWN = ("baby", "adult", "male", "female", "mother")
"""Words for people that only qualify where an animal follows: a baby elephant shows no person."""

_ANIMALS = ("bird", "cat", "dog", "horse", "sheep", "cow", "elephant", "bear", "zebra", "giraffe")

_IRREGULAR_PLURALS: Mapping[str, str] = {
    "knife": "knives",
    "mouse": "mice",
    "goose": "geese",
    "calf": "calves",
    "ox": "oxen",
    "policeman": "policemen",
    "gentleman": "gentlemen",
    "person": "persons",
    "sheep": "sheep",
    "cattle": "cattle",
    "aircraft": "aircraft",
    "skis": "skis",
    "scissors": "scissors",
    "people": "people",
    "men": "men",
    "women": "women",
    "children": "children",
}


def mentioned_objects(words: Sequence[str]) -> list[str]:
    """Return the category of every mention of a COCO object in a caption of lower-case tokens, in order.

    The longest phrase counts, so that a hot dog is no dog, and every mention counts, repeated ones too.
    """
    return [category for category in _categories(words) if category is not None]


def _categories(words: Sequence[str]) -> Iterator[str | None]:
    phrases = _phrases()
    longest = max(map(len, phrases))
    start = 0
    while start < len(words):
        found = (tuple(words[start : start + length]) for length in range(longest, 0, -1))
        phrase = next((one for one in found if one in phrases), None)
        if phrase is not None:
            yield phrases[phrase]
        start += 1 if phrase is None else len(phrase)


@cache
def _phrases() -> Mapping[tuple[str, ...], str | None]:
    """Return by phrase the category that it names, None for one that names none."""
    named: dict[str, str | None] = {}
    for category, others in WORDS_OF_CATEGORY.items():
        named |= dict.fromkeys((category, *others), category)
    for category in _ANIMALS:
        animals = (category, *WORDS_OF_CATEGORY[category])
        named |= {f"{word} {animal}": category for word in _YOUNG_OR_GROWN for animal in animals}
    named |= dict.fromkeys(NAMELESS_PHRASES)
    return {tuple(form.split()): category for name, category in named.items() for form in (name, _plural(name))}


def _plural(name: str) -> str:
    """Return the plural of a phrase, by its last word."""
    beginning, space, word = name.rpartition(" ")
    return f"{beginning}{space}{_IRREGULAR_PLURALS.get(word) or _regular_plural(word)}"


def _regular_plural(word: str) -> str:
    if word.endswith(("s", "x", "ch", "sh")):
        return f"{word}es"
    if word.endswith("y") and word[-2:-1] not in ("", *"aeiou"):
        return f"{word[:-1]}ies"
    return f"{word}s"
