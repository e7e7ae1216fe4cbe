"""Every code block of the site is a program that runs, is marked with the reason why not, or is data that parses.

``test_code_blocks_run.py`` runs all that are not marked, ``test_tutorial.py`` the tutorial.
"""

import json

import pytest
import yaml

from builders.code_blocks import DATA, RUN, SHOWN, CodeBlock, blocks_of, pages

BLOCKS = [block for page in pages() for block in blocks_of(page)]


def test_the_site_has_blocks_that_run():
    assert len([block for block in BLOCKS if block.runs]) > 20


@pytest.mark.parametrize("page", pages(), ids=lambda page: page.name)
def test_every_fence_is_read(page):
    fences = [line for line in page.text.splitlines() if line.startswith("```")]
    assert len(fences) == 2 * len(list(blocks_of(page)))


@pytest.mark.parametrize("block", BLOCKS, ids=str)
def test_blocks_have_a_language_that_says_what_becomes_of_them(block: CodeBlock):
    assert block.language in (*RUN, *DATA, *SHOWN) or block.language.startswith("{")


def test_marks_stand_before_programs_and_give_a_reason():
    for page in pages():
        marked = [block for block in blocks_of(page) if block.reason is not None]
        assert page.text.count("<!-- not run") == len(marked), f"{page.name}: a mark is not directly before a block"
    for block in BLOCKS:
        assert block.reason is None or (block.language in RUN and len(block.reason.split()) >= 3), block


def test_no_block_that_runs_installs_anything():
    assert [str(block) for block in BLOCKS if block.runs and "pip install" in block.code] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.language in DATA], ids=str)
def test_data_parse(block: CodeBlock):
    if block.language == "yaml":
        assert isinstance(yaml.safe_load(block.code), dict)
    else:
        assert all(isinstance(json.loads(line), dict) for line in block.code.splitlines())


def test_a_mark_keeps_a_block_from_running():
    page = next(page for page in pages() if page.name == "docs/tutorial.md")
    first, *others = (block for block in blocks_of(page) if block.language in RUN)
    assert (first.runs, first.reason) == (False, "the test runs in an environment that has it")
    assert all(block.runs for block in others)
