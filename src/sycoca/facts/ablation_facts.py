"""The ablation tables of the paper (SyCoCa, arXiv 2401.02137): rows, as changes of one configuration, and results.

Imports no torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

PaperTableName = Literal["objectives", "mask-ratios", "mim-weight"]
"""objectives: objectives and masking. mask-ratios: patches hidden and masked. mim-weight: weight of TG-MIM."""

PaperData = Literal["COCO", "Flickr30k"]
"""The test sets of the paper's tables, zero-shot."""


class Recalls(NamedTuple):
    """Mean recalls in percent, as the paper prints them."""

    mean_text_recall: float
    """mTR: mean of image-to-text R@1, R@5 and R@10."""

    mean_image_recall: float
    """mIR: mean of text-to-image R@1, R@5 and R@10."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperRow:
    """A row of a table: one pretraining on CC3M, without repetition."""

    title: str
    """What the row is called."""

    changes: Mapping[str, Any]
    """The fields of ``PretrainConfig`` in which it differs from SyCoCa as the paper trains it, nested as in YAML."""

    results: Mapping[PaperData, Recalls]
    """The paper's results; empty where our summaries of the paper do not state them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class PaperTable:
    """A table."""

    rows: Mapping[str, PaperRow]
    """The rows by short name, in the paper's order."""

    remark: str = ""
    """What the paper says of all rows together."""


BASELINE = "coca"
"""The row that the others are compared with: CoCa. A table of the paper without it is given it."""

PAPER_RATIO = 0.5
"""Patches hidden from captioning, and masked for reconstruction, in all tables but that of the ratios."""

_ALL_VISIBLE = {"hides_from_captioning": False}
_NOT_GUIDED = {"image_decoder": {"is_text_guided": False}}

_COCA = PaperRow(
    title="ITC + IC (CoCa)",
    changes={"objectives": {"masked_image_weight": 0.0}, "masking": _ALL_VISIBLE},
    results={"COCO": Recalls(16.1, 16.0), "Flickr30k": Recalls(37.5, 28.7)},
)

_SYCOCA: Mapping[PaperData, Recalls] = {"COCO": Recalls(18.3, 18.4), "Flickr30k": Recalls(42.6, 32.4)}

_OBJECTIVES = PaperTable(
    rows={
        "clip": PaperRow(
            title="ITC only (CLIP)",
            changes={"objectives": {"captioning_weight": 0.0, "masked_image_weight": 0.0}},
            results={"COCO": Recalls(13.5, 14.8)},
        ),
        BASELINE: _COCA,
        "coca_attentive": PaperRow(
            title="CoCa, attentive masking of IC",
            changes={"objectives": {"masked_image_weight": 0.0}},
            results={"COCO": Recalls(17.5, 18.3)},
        ),
        "mim_random": PaperRow(
            title="+ MIM without text, random masks",
            changes={"model": _NOT_GUIDED, "masking": {"strategy": "random", **_ALL_VISIBLE}},
            results={"COCO": Recalls(15.8, 16.3)},
        ),
        "mim_attentive": PaperRow(
            title="+ MIM without text, attentive masks",
            changes={"model": _NOT_GUIDED},
            results={"COCO": Recalls(15.2, 16.2)},
        ),
        "tg_mim_random": PaperRow(
            title="+ TG-MIM, random masks",
            changes={"masking": {"strategy": "random"}},
            results={"COCO": Recalls(14.4, 15.2), "Flickr30k": Recalls(35.8, 26.4)},
        ),
        "sycoca": PaperRow(title="+ TG-MIM, attentive masks (SyCoCa)", changes={}, results=_SYCOCA),
    },
)


def _ratio_row(hidden: float, masked: float) -> PaperRow:
    is_default = hidden == masked == PAPER_RATIO
    return PaperRow(
        title=f"{hidden:.0%} hidden from IC, {masked:.0%} masked for TG-MIM",
        changes={"masking": {"captioning_hidden_ratio": hidden, "reconstruction_masked_ratio": masked}},
        results=_SYCOCA if is_default else {},
    )


def _weight_row(weight: float, coco: Recalls, flickr30k: Recalls) -> PaperRow:
    return PaperRow(
        title=f"weight of TG-MIM {weight:g}",
        changes={"objectives": {"masked_image_weight": weight}},
        results={"COCO": coco, "Flickr30k": flickr30k},
    )


_RATIOS = (0.25, 0.5, 0.75)

PAPER_TABLES: Mapping[PaperTableName, PaperTable] = {
    "objectives": _OBJECTIVES,
    "mask-ratios": PaperTable(
        rows={
            BASELINE: _COCA,
            **{
                f"hidden_{hidden:.0%}_masked_{masked:.0%}".replace("%", ""): _ratio_row(hidden, masked)
                for hidden in _RATIOS
                for masked in _RATIOS
            },
        },
        remark="the paper's results over all ratios, COCO: mTR 17.5 to 18.6, mIR 17.3 to 18.8",
    ),
    "mim-weight": PaperTable(
        rows={
            BASELINE: _COCA,
            "weight_0.1": _weight_row(0.1, Recalls(18.3, 18.2), Recalls(42.1, 32.4)),
            "weight_0.5": _weight_row(0.5, Recalls(18.2, 18.2), Recalls(42.8, 32.2)),
            "weight_1": _weight_row(1.0, Recalls(18.3, 18.4), Recalls(42.6, 32.4)),
            "weight_2": _weight_row(2.0, Recalls(17.7, 17.8), Recalls(40.5, 31.3)),
        },
    ),
}
"""All tables by the word that ``sycoca ablate`` takes."""
