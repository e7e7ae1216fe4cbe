"""``sycoca score``: the metrics of ``sycoca evaluate`` for the predictions of any model."""

from sycoca.cli.shared.tasks import parse_task

TASKS = {
    "retrieval": "embeddings of images and captions: recall at 1, 5 and 10, ranks",
    "captioning": "captions, against COCO's annotations or a data SPEC: BLEU, ROUGE-L, CIDEr, METEOR",
    "vqa": "answers to questions, against VQA's annotations or a data SPEC",
}
"""Every task and what it scores; ``sycoca.cli.score.TASK`` has its ``Arguments``."""


def run(arguments: list[str]) -> int:
    """Score predictions and show the report."""
    task = parse_task("score", TASKS, arguments)
    if task is not None:
        task.show(task.report())
    return 0
