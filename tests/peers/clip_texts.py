# ruff: noqa: RUF001 (letters that look like others are the point)
"""Texts for comparing CLIP's tokenizer with open_clip's: awkward ones, written down and drawn, and whole data sets."""

import gzip
import hashlib
import json
import random
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).parent / "goldens" / "clip_ids.json"

FLICKR8K, COCO = "flickr8k/captions.jsonl", "metric_refs/coco_captions_val2017.json.gz"
CONTEXT_LENGTHS = (76, 77)
NUM_RANDOM = 3_000

HARD_TEXTS = (
    "",
    " ",
    "\n\t ",
    "a photo of a dog",
    "  A  Photo\tof\na DOG  ",
    "a dog!",
    "a dog !!! wow!!",
    "!#",
    "!!!!!!!!!!!!!!!!!!!!!!!!!!!!!",
    "it's we're I'm you'll he'd they've can't don't",
    "IT'S WE'RE I'M YOU'LL HE'D THEY'VE CAN'T",
    "'tis 'twas rock'n'roll '90s dogs' ''s '''t 's",
    "it’s a “quoted” ‘word’ — and – dashes… «guillemets»",
    "itʼs it`s it´s",
    "'\u017f long s, \u017fhip, 'Re 'VE 'lL",
    "\u212a kelvin, \u212bngstrom, \u2126hm",
    "3 dogs, 42 cats & 1,234.56 birds at 10:30pm on 2014-05-17",
    "room 101a b2b mp3 4x4 1st 2nd ½ ² Ⅷ ①",
    "<|startoftext|> a dog <|endoftext|>",
    "<pad> <bos> <eos> </w> a</w>b",
    "a dog &amp; a cat &lt;3 &quot;hi&quot; &#39;x&#39; &eacute; &EACUTE;",
    "a dog &amp;amp; a cat &amp;lt;b&amp;gt;",
    "<b>bold</b> &amp; <i>&amp;amp;</i> &copy 2014 &notit; &#x1F436; &#128054;",
    "<b>e&#769; A&#x30A; caf&eacute;",
    "e&#769; &#0; &#128; &#x80; &#xD800; &#8232; &#11; &; &#; &#x;",
    "schÃ¶n cafÃ© â€œquoteâ€\x9d itâ€™s Ã\xa0 la mode",
    "l’Humanitأ© Ð¿Ñ€Ð¸Ð²ÐµÑ‚ ðŸ˜€",
    "The Mona Lisa doesn√¢‚Ç¨‚Ñ¢t have eyebrows.",
    "vis-Ã -vis Ã©tÃ© naÃ¯ve\r\nâ€¦ then <b>Ã©</b>",
    "caf\u0065\u0301 na\u0069\u0308ve \u0061\u0323\u0302 \u1e9b\u0323",
    "z̷̢̛a̶l̷g̶o̷ t̴e̸x̶t̵",
    "ﬁsh ﬂower oﬃce ﬆop ﬅ Ĳssel ǆ ŉ",
    "ＦＵＬＬ　ＷＩＤＴＨ　１２３！ ﾊﾝｶｸ ｶﾞｷﾞ",
    "Größe STRASSE straße ẞ Ærøskøbing Łódź İstanbul ıspanak ΑΣ ΣΑΣ. ὈΔΥΣΣΕΎΣ",
    "Привет, мир! Ёжик Ё",
    "一只狗在草地上跑。两只猫",
    "犬が公園で走っている。ｶﾀｶﾅ",
    "강아지가 뛰어요 \u1112\u1161\u11ab",
    "كلب يجري في الحديقة ١٢٣",
    "כֶּלֶב רץ בפארק",
    "एक कुत्ता दौड़ रहा है १२३",
    "สุนัขวิ่งในสวน",
    "ένας σκύλος τρέχει",
    "ꦲꦏ꧀ꦱꦫ ꦗꦮ ᏣᎳᎩ ᐃᓄᒃᑎᑐᑦ",
    "🐶 dog 🐕‍🦺 👨‍👩‍👧‍👦 family 👍🏽 🇩🇪 ❤️ ☺︎ 1️⃣",
    "😀😀😀!!!😀a😀1",
    "zero\u200bwidth non\u200cjoiner joiner\u200dhere bom\ufeff word\u2060joiner soft\u00adhyphen",
    "no\u00a0break thin\u2009space ideographic\u3000space ogham\u1680 line\u2028sep para\u2029sep nel\u0085",
    "rtl \u202emark\u202c \u200fright \u200eleft",
    "bell\x07 null\x00 esc\x1b[31mred\x1b[0m tab\tvt\x0bff\x0c fs\x1cgs\x1d del\x7f c1\x81\x9f",
    "bell\x07 null\x00 esc\x1b[31mred\x1b[0m vt\x0bff\x0c fs\x1cgs\x1d del\x7f cr\rlf\n",
    "lone surrogates \ud800 x \udfff",
    "object \ufffc replacement \ufffd interlinear \ufff9a\ufffab\ufffb",
    "under_score snake_case_name __init__ a_b",
    "http://example.com/a?b=c&d=e#f user@example.com #hashtag @user",
    "C++ C# .NET R&D AT&T 50% $5 €10 £7 ¥9 #1",
    "(a) [b] {c} <d> a/b a\\b a|b a~b a^b a`b a*b a=b",
    "...---===*** .,;:!? ?!?! ..!..",
    "Mr. & Mrs. O'Neill-D'Arcy's mother-in-law",
    "pneumonoultramicroscopicsilicovolcanoconiosis",
    "a" * 300,
    "ab" * 400,
    "ha" * 50 + "!" * 50,
    "supercalifragilisticexpialidocious" * 9,
    "一" * 100,
    "🐶" * 60,
    "1234567890" * 20,
    "the " * 200,
    "a dog and a cat, " * 30,
    "mixed한글and漢字andкириллицаandελληνικά",
    "𝒜 𝔞𝔟𝔠 𝟙𝟚𝟛 ⓐⓑⓒ ㎏ № ™ ℃ ½",
    "H₂O x² 10⁻³ ±5° µm Ωmega ∑∫√∞≠≤≥",
    "♫ ★ ☃ ✓ ➜ ▲ █ ░ ┌─┐",
    "\u0301leading mark a\u0301\u0302\u0303 \u20dd enclosing",
    "ÀÁÂÃÄÅÆÇÈÉÊËÌÍÎÏÐÑÒÓÔÕÖ×ØÙÚÛÜÝÞßàáâãäåæçèéêëìíîïðñòóôõö÷øùúûüýþÿ",
    "¡¢£¤¥¦§¨©ª«¬®¯°±²³´µ¶·¸¹º»¼½¾¿",
)
"""Quotes, entities, mojibake, scripts, marks, emoji, spaces, control characters, long words."""

_BLOCKS = (
    (0x00, 0x20),
    (0x20, 0x7F),
    (0x20, 0x7F),
    (0x30, 0x3A),
    (0x7F, 0xA1),
    (0xA1, 0x250),
    (0x300, 0x370),
    (0x391, 0x3CA),
    (0x400, 0x500),
    (0x5D0, 0x5EB),
    (0x600, 0x700),
    (0x904, 0x940),
    (0xE01, 0xE3B),
    (0x1100, 0x1200),
    (0x1E00, 0x1F00),
    (0x2000, 0x2065),
    (0x2070, 0x2072),
    (0x20A0, 0x20B0),
    (0x2100, 0x2189),
    (0x2190, 0x2200),
    (0x3000, 0x3040),
    (0x3041, 0x3097),
    (0x4E00, 0x9FA6),
    (0xAC00, 0xD7A4),
    (0xFB00, 0xFB07),
    (0xFE00, 0xFE10),
    (0xFF01, 0xFFBF),
    (0x1D400, 0x1D455),
    (0x1F300, 0x1F600),
    (0x20000, 0x20100),
)
"""Characters of old versions of Unicode, about which all versions of Python and of the libraries agree."""

_WORDS = (
    *("a", "the", "dog", "Dog's", "IT'S", "we'll", "ünïcode", "straße", "'Re", "n't", "12", "3.5", "!!", "...", "_"),
    *("&amp;", "&lt;", "&eacute;", "&#39;", "—", "“x”"),
)


def random_texts(number: int, seed: int) -> list[str]:
    """Draw texts of words, foreign characters, broken encodings and odd gaps."""
    generator = random.Random(seed)
    return [_random_text(generator) for _ in range(number)]


def flickr8k_captions(path: Path) -> list[str]:
    """Return all captions in the order of the file."""
    with path.open(encoding="utf-8") as lines:
        return [caption for line in lines for caption in json.loads(line)["captions"]]


def coco_captions(path: Path) -> list[str]:
    """Return all captions in the order of the file."""
    with gzip.open(path) as file:
        return [annotation["caption"] for annotation in json.load(file)["annotations"]]


def fingerprint(value: list) -> str:
    """Return a hash of plain data."""
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def digest(encode: Callable[[str, int], Sequence[int]], texts: Iterable[str]) -> str:
    """Return a hash of all ids, cut at both context lengths and filled up with 0."""
    found = hashlib.sha256()
    for text in texts:
        for context_length in CONTEXT_LENGTHS:
            row = np.zeros(context_length, dtype="<u2")
            ids = encode(text, context_length)
            row[: len(ids)] = ids
            found.update(row.tobytes())
    return found.hexdigest()


def _random_text(generator: random.Random) -> str:
    parts = [_random_part(generator) for _ in range(generator.randrange(1, 12))]
    return "".join(part + generator.choice(("", " ", " ", "  ", "\t", "\n")) for part in parts)


def _random_part(generator: random.Random) -> str:
    block = generator.choice(_BLOCKS)
    foreign = "".join(chr(generator.randrange(*block)) for _ in range(generator.randrange(1, 6)))
    match generator.randrange(6):
        case 0 | 1:
            return generator.choice(_WORDS)
        case 2:
            return foreign.encode("utf-8").decode(generator.choice(("latin-1", "cp437", "macroman")))
        case 3:
            return generator.choice(_WORDS) + foreign + generator.choice(_WORDS)
        case _:
            return foreign
