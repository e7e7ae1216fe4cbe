"""``sycoca convert``: weights of open_clip and Hugging Face in, of open_clip out."""

from sycoca.cli.shared.tasks import parse_task

TASKS = {
    "from-open-clip": "a CoCa or CLIP of open_clip becomes a weights folder",
    "to-open-clip": "a weights folder becomes a checkpoint that open_clip loads",
    "from-hf-clip": "a CLIP of Hugging Face becomes a weights folder; a ViT or ViTMAE one to start pretraining from",
}
"""Every direction; ``sycoca.cli.convert.NAME`` has its ``Arguments``."""


def run(arguments: list[str]) -> int:
    """Convert and say what became of what; all of it goes to stderr but the name of what was written."""
    task = parse_task("convert", TASKS, arguments)
    if task is not None:
        task.convert()
    return 0
