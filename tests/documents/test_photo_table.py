"""docs/data.md: the table of photo checks has the options and defaults that the command has."""

import re
from dataclasses import fields

from builders.documents import ROOT
from sycoca.data.inspection.photo_checks import DEFAULT_THRESHOLDS


def test_the_table_has_every_threshold_with_its_default():
    text = (ROOT / "docs" / "data.md").read_text(encoding="utf-8")
    table = text.split("**Photos worth a look**")[1].split("The defaults were chosen")[0]
    rows = re.findall(r"^\| `--([a-z-]+)` \| ([\d.]+) \|", table, flags=re.MULTILINE)
    names = [field.name for field in fields(DEFAULT_THRESHOLDS)]
    assert rows == [(name.replace("_", "-"), f"{getattr(DEFAULT_THRESHOLDS, name):g}") for name in names]
