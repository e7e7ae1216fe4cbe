import json
from pathlib import Path

import pytest

from sycoca.metrics.ptb_tokenizer import tokenize_captions

ORACLE = json.loads(Path(__file__).with_name("ptb_tokens.json").read_text(encoding="utf-8"))
"""Outputs of Stanford's program for difficult texts, in which every rule matches somewhere."""


@pytest.mark.parametrize(("text", "tokens"), ORACLE["texts"])
def test_tokens_are_those_of_the_java_program(text: str, tokens: str):
    assert tokenize_captions([text, "x"]) == [tokens, "x"]


@pytest.mark.parametrize(("text", "following", "tokens"), ORACLE["before"])
def test_the_next_line_decides_about_a_last_period(text: str, following: str, tokens: str):
    assert tokenize_captions([text, following])[0] == tokens


@pytest.mark.parametrize(("text", "tokens"), ORACLE["last"])
def test_the_last_caption_has_no_next_line(text: str, tokens: str):
    assert tokenize_captions(["x", text])[1] == tokens


def test_line_ends_within_a_caption_are_spaces():
    assert tokenize_captions(["a dog\r\nruns\u2028fast", "x"]) == ["a dog runs fast", "x"]


def test_an_empty_caption_has_no_tokens():
    assert tokenize_captions(["", " . ", "!"]) == ["", "", ""]
    assert tokenize_captions([]) == []
