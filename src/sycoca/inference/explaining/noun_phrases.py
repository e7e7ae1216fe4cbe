"""Noun phrases of English captions, by a rule of thumb: closed word classes and endings, no tagger."""

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field

from sycoca.texts import has_no_word_spaces


def _listed(words: str) -> frozenset[str]:
    return frozenset(words.split())


_DETERMINERS = _listed(
    "a an the this that these those some any each every another other both all several many few no one two three "
    "four five six seven eight nine ten his her its their my your our"
)
"""Words that begin a phrase and say nothing about what is seen."""

_BREAKS = _listed(
    "of in on at by with without from to into onto over under above below beside between behind near next through "
    "across along around against off out up down toward towards inside outside during before after as like for "
    "about and or but while where when who which that's than then there here is are was were be been being am has "
    "have had do does did can could will would may might it he she they them him we you i us me someone somebody "
    "something himself herself itself themselves not very just so also together away back forward"
)
"""Prepositions, conjunctions, auxiliary verbs, pronouns and adverbs: no part of a phrase."""

_VERBS = _listed(
    "run jump play stand sit walk ride hold wear climb look swim catch throw pose watch leap lie lay smile carry "
    "chase perform wait talk sleep fly hang fall skate ski surf dance kick hit pull push eat drink read work take "
    "make give get go come try prepare appear seem enjoy attempt splash crawl lean race bite lick shake dig roll "
    "wave point"
)
"""Frequent verbs of captions; no part of a phrase, unless a determiner precedes them."""

_PREPOSITIONS = frozenset(
    {*((side, "of") for side in _listed("left right top bottom front back side middle center")), ("close", "to")}
)
"""Two words that are a preposition together."""

_COLORS = _listed("black white red orange yellow green blue purple pink brown gray grey tan gold silver")
"""Colors, between which "and" ends no phrase: "a brown and white dog"."""

_NO_PARTICIPLES = _listed("something anything nothing everything king ring wing string spring building ceiling")
"""Nouns that end like participles."""


@dataclass(slots=True)
class _Chunker:
    """Collects the words of one phrase at a time."""

    phrases: list[slice] = field(default_factory=list)
    start: int | None = None
    nouns: int = 0

    def add(self, index: int, *, is_content: bool) -> None:
        self.start = index if self.start is None else self.start
        self.nouns += is_content

    def end(self, index: int) -> None:
        if self.start is not None and self.nouns:
            self.phrases.append(slice(self.start, index))
        self.start, self.nouns = None, 0


def noun_phrases(words: Sequence[str]) -> list[slice]:
    """Return the noun phrases of a caption as slices of its words: "a red circle", "two dogs"; "a dog" of "a dog runs".

    A rule of thumb for English. Other scripts have none; in other languages with Latin letters the phrases mean little.
    """
    plain = [word.lower().strip(".,;:!?\"'()[]") for word in words]
    if any(has_no_word_spaces(word) or not _is_latin(word) for word in plain):
        return []
    chunks = _Chunker()
    for index, word in enumerate(plain):
        before, following = plain[index - 1] if index else "", plain[index + 1] if index + 1 < len(plain) else ""
        if word in _DETERMINERS:
            if before not in _DETERMINERS:
                chunks.end(index)
            chunks.add(index, is_content=False)
        elif word == "and" and {before, following} <= _COLORS:
            chunks.add(index, is_content=False)
        elif _ends_phrase(word, following, is_modifier=chunks.start is not None and chunks.nouns == 0):
            chunks.end(index)
        else:
            chunks.add(index, is_content=True)
            if words[index][-1:] in ",.;:!?":
                chunks.end(index + 1)
    chunks.end(len(plain))
    return chunks.phrases


def content_words(words: Sequence[str], phrase: slice) -> list[int]:
    """Return the indices of a phrase's words without its determiners."""
    return [index for index in range(phrase.start, phrase.stop) if words[index].lower() not in _DETERMINERS]


def _ends_phrase(word: str, following: str, *, is_modifier: bool) -> bool:
    """Return whether a word is no part of a phrase; directly after a determiner even verbs are ("a running dog")."""
    if not word or word in _BREAKS or (word, following) in _PREPOSITIONS:
        return True
    return not is_modifier and (_is_verb(word) or _is_participle(word, following))


def _is_verb(word: str) -> bool:
    stems = (word, word.removesuffix("s"), word.removesuffix("es"), word.removesuffix("ies") + "y")
    return any(stem in _VERBS for stem in stems)


def _is_participle(word: str, following: str) -> bool:
    if len(word) < 5 or word in _NO_PARTICIPLES:
        return False
    # "a blue striped shirt", but "a man dressed in blue" and "a dog chasing cats".
    is_before_noun = following not in _BREAKS | _DETERMINERS | {""}
    return word.endswith("ing") or (word.endswith("ed") and not is_before_noun)


def _is_latin(word: str) -> bool:
    return all(
        letter.isascii() or unicodedata.name(letter, "").startswith("LATIN") for letter in word if letter.isalpha()
    )
