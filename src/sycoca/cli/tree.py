"""The tree of commands: names, what each does, and its module. Only data, so that help appears fast."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from sycoca.evaluation.tasks.registry import TASKS


class Command(NamedTuple):
    """A command: its summary, and its module below ``sycoca.cli`` (see `sycoca.cli.command_line`)."""

    summary: str
    module: str
    task: str | None = None
    """The task, where the module serves several commands."""


class Group(NamedTuple):
    """Commands that share a first word."""

    summary: str
    commands: Mapping[str, Command]


EVALUATE = Group(
    "evaluate a model by an official protocol",
    {
        **{name: Command(summary, "evaluate.arguments", task=name) for name, summary in TASKS.items()},
        "all": Command("several of these from a file; images are embedded once", "evaluate.all"),
    },
)

SCORE = Group(
    "score the predictions of any model; most need no model",
    {
        "retrieval": Command("image and text embeddings: recall at 1, 5 and 10, ranks", "score.retrieval"),
        "captioning": Command("captions: BLEU, ROUGE-L, CIDEr, METEOR; CLIPScore, CHAIR", "score.captioning"),
        "vqa": Command("answers: VQA accuracy, or exact match", "score.vqa"),
    },
)

CONVERT = Group(
    "convert weights from and to open_clip, and from Hugging Face",
    {
        "from-open-clip": Command("a CoCa or CLIP of open_clip to a weights folder", "convert.from_open_clip"),
        "to-open-clip": Command("a weights folder to a checkpoint that open_clip loads", "convert.to_open_clip"),
        "from-hf": Command("CLIP, SigLIP, ViT, DINO of Hugging Face to a weights folder", "convert.from_hf"),
    },
)

MAP = Group(
    "caption, embed, filter or score a data set of any size",
    {
        "caption": Command("caption every image", "map.caption"),
        "embed": Command("embed images and captions", "map.embed"),
        "filter": Command("keep the captions that match their image", "map.filter"),
        "score": Command("score every caption against its image", "map.score"),
    },
)

DATA = Group(
    "check, inspect, filter and write data",
    {
        "check": Command("find broken files, bad captions and duplicate images", "data.check"),
        "stats": Command("count captions, words, tokens, labels, questions, pixels", "data.stats"),
        "filter": Command("keep the captions that match their image, by a model's scores", "data.filter"),
        "write-shards": Command("pack data into tar files in the layout of webdataset", "data.write_shards"),
        "write-scenes": Command("write the built-in scenes as image files with captions", "data.write_scenes"),
    },
)

TREE: Mapping[str, Mapping[str, Command | Group]] = {
    "start here": {
        "quickstart": Command("pretrain a tiny model on built-in scenes, evaluate it", "train.quickstart"),
    },
    "train": {
        "pretrain": Command("pretrain a model on images with captions", "train.pretrain"),
        "finetune": Command("fine-tune a model for a task", "train.finetune"),
    },
    "use a model": {
        "caption": Command("caption images", "use.caption"),
        "classify": Command("classify images, zero-shot or with a fine-tuned head", "use.classify"),
        "ask": Command("answer questions about images", "use.ask"),
        "embed": Command("write image and text embeddings to a file", "use.embed"),
        "explain": Command("draw the similarity of patches and words, and reconstructions", "use.explain"),
        "index": Command("index photos, so that they can be searched", "use.index"),
        "search": Command("search an index by text or by image", "use.search"),
        "serve": Command("answer over HTTP: a JSON interface and a web page", "use.serve"),
        "map": MAP,
    },
    "measure": {
        "evaluate": EVALUATE,
        "score": SCORE,
        "compare": Command("compare runs and reports: curves, intervals, differences", "measure.compare"),
        "ablate": Command("train the rows of the paper's tables with seeds, and compare them", "measure.ablate"),
        "benchmark": Command("measure the speed of this machine and of the library on it", "measure.benchmark"),
        "doctor": Command("say what works on this machine and what is missing", "measure.doctor"),
    },
    "weights": {
        "average": Command("average the weights before and after a fine-tuning (WiSE-FT)", "weights.average"),
        "merge": Command("merge an adapter (LoRA) into the weights that it was trained on", "weights.merge"),
        "convert": CONVERT,
        "export": Command("export a model to ONNX, to run it without PyTorch", "weights.export"),
        "verify": Command("compare a weights folder with its manifest, or renew that", "weights.verify"),
        "push": Command("publish a weights folder on the Hugging Face Hub", "weights.push"),
    },
    "data": {"data": DATA},
    "shell": {
        "completion": Command("print a completion script for bash, zsh or fish", "completion.command"),
    },
}
"""Headings of ``sycoca --help``, with their commands."""

OLDER_NAMES: Mapping[tuple[str, ...], tuple[str, ...]] = {("convert", "from-hf-clip"): ("convert", "from-hf")}
"""Names that commands had before; they still work, and no help lists them."""

NAMES: Mapping[str, Command | Group] = {name: node for nodes in TREE.values() for name, node in nodes.items()}
"""The words that may follow ``sycoca``."""


def commands() -> Iterator[tuple[tuple[str, ...], Command]]:
    """Yield every command with its words, such as ("evaluate", "vqa")."""
    for name, node in NAMES.items():
        if isinstance(node, Command):
            yield (name,), node
        else:
            yield from (((name, own), command) for own, command in node.commands.items())
