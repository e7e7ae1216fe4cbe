"""The tokenizer of a pretraining: trained on all texts, or in a dry run on those of some samples."""

import logging
from dataclasses import dataclass
from pathlib import Path

from sycoca.data.inspection.statistics import all_texts
from sycoca.data.samples import SampleSource
from sycoca.data.selection import TOKENIZER_SAMPLES, SpreadSamples, spread_if_large
from sycoca.outputs.atomic import atomic_file
from sycoca.outputs.set_aside import set_aside, set_aside_unusable
from sycoca.preprocess.tokenizer import Tokenizer
from sycoca.training.engine.runtime import Runtime
from sycoca.training.recipes.image_text.caption_kinds import GeneratedRatios
from sycoca.training.recipes.pretraining.config import PretrainConfig
from sycoca.weights.parts import LoadedParts

logger = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True, slots=True)
class Vocabulary:
    """The size of a run's vocabulary."""

    num_ids: int
    """Token ids of the model."""

    num_samples: int | None
    """Samples whose texts the tokenizer was trained on; None where all were, or none had to be."""

    is_full: bool
    """Whether the configured size is assumed, since the samples do not hold all words."""

    def line(self, num_all: int) -> str:
        """Return the size and what it rests on, for a source of so many samples."""
        size = f"vocabulary: {self.num_ids:,} token ids"
        if self.num_samples is None:
            return size
        read = f"{self.num_samples:,} of {num_all:,} samples"
        if self.is_full:
            return f"{size}, the configured size, since {read} do not hold all words"
        return f"{size}, trained on {read}, half of which hold all words of the others"


def vocabulary_of(config: PretrainConfig, tokenizer: Tokenizer, read: SampleSource, *, is_trained: bool) -> Vocabulary:
    """Return the vocabulary of a run whose tokenizer has read these samples.

    Where they are only some of the source's, and words of one half are missing in the other, the run's own vocabulary
    is taken to reach its configured size.
    """
    if not is_trained or not isinstance(read, SpreadSamples):
        return Vocabulary(num_ids=tokenizer.vocab_size, num_samples=None, is_full=False)
    halves: tuple[set[str], set[str]] = (set(), set())
    for index in range(len(read)):
        halves[index % 2].update(word for caption in read[index].captions for word in caption.lower().split())
    is_full = halves[0] != halves[1]
    num_ids = config.tokenizer.trained_ids if is_full else tokenizer.vocab_size
    return Vocabulary(num_ids=num_ids, num_samples=len(read), is_full=is_full)


def shared_tokenizer(
    config: PretrainConfig, source: SampleSource, runtime: Runtime, path: Path, parts: LoadedParts | None = None
) -> Tokenizer:
    """Return the run's tokenizer at ``path``; the main process first creates it where it is missing or damaged.

    It is the tokenizer of the ``parts`` where they have one, and otherwise trained on the source, of a large one on
    samples that are spread evenly over it. Raises ValueError where a resumed run, which does not load the parts, would
    need theirs.
    """
    if runtime.is_main_rank and not _is_readable(path):
        if parts is None and config.start.weights is not None:
            raise ValueError(
                f"{path} is missing or damaged, and no checkpoint has a copy of it; restore it from a backup, or take"
                f" the tokenizer.json of {config.start.weights}"
            )
        own = None if parts is None else parts.tokenizer
        tokenizer = _built(config, source) if own is None else own
        with atomic_file(path) as unfinished:
            tokenizer.save(unfinished)
    runtime.barrier()
    return Tokenizer.load(path)


def _built(config: PretrainConfig, source: SampleSource) -> Tokenizer:
    """Return the configured tokenizer, trained on a source where it has to be; of a large one on some samples."""
    read = spread_if_large(source, TOKENIZER_SAMPLES)
    if read is not source and config.tokenizer.trained_ids > 0:
        logger.info(f"tokenizer: trained on the texts of {len(read):,} of {len(source):,} samples, evenly spread")
    with_generated = GeneratedRatios(source, config.data.generated_caption_ratio).uses_generated
    return Tokenizer.build(all_texts(read, with_generated=with_generated), config.tokenizer)


def _is_readable(path: Path) -> bool:
    """Return whether there is a tokenizer at a path; what is damaged is set aside."""
    set_aside_unusable(path)
    if not path.exists():
        return False
    try:
        Tokenizer.load(path)
    except ValueError as error:
        logger.warning(f"{error}; it is now {set_aside(path, '.damaged').name}, and the tokenizer is made again")
        return False
    return True
