"""``sycoca evaluate``: measure a model by an official protocol."""

from sycoca.cli.shared.tasks import parse_task

TASKS = {
    "retrieval": "images find captions and captions find images: recall at 1, 5 and 10, ranks",
    "zero-shot": "classes as prompts: top-1 and top-5 accuracy, the mean over classes",
    "probe": "the same for a linear classifier on frozen features",
    "classification": "the same for the head of a model that was fine-tuned to classify",
    "captioning": "captions against people's: BLEU, ROUGE-L, CIDEr, METEOR",
    "vqa": "visual question answering: the official accuracy, or equality with one reference answer",
    "grounding": "patch scores against the pixels that captions describe (built-in scenes)",
    "scene-captions": "truth and detail of generated captions (built-in scenes)",
    "scene-swaps": "captions against themselves with parts exchanged (built-in scenes)",
    "all": "several of these from one file; the model is loaded once, images are embedded once",
}
"""Every task and what it measures; ``sycoca.cli.evaluate.TASK`` has its ``Arguments``."""


def run(arguments: list[str]) -> int:
    """Evaluate and show the report."""
    task = parse_task("evaluate", TASKS, arguments)
    if task is not None:
        task.show(task.report())
    return 0
