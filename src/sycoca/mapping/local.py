"""The engine ``local``: workers claim blocks from the output folder, whoever has started them."""

import logging
import random
import time
from collections import deque
from collections.abc import Generator
from contextlib import closing

from sycoca.mapping.worker import Advance, Worker

logger = logging.getLogger(__name__)

_SECONDS_BETWEEN_LOOKS = 1.0
"""How often a worker without a block looks whether those of other workers are finished, or abandoned."""


def map_unclaimed(worker: Worker, *, begin: float = 0.0) -> Generator[Advance, None, None]:
    """Map blocks until every block has its file; those that other workers have finished count as progress.

    ``begin`` is where to begin, between 0 and 1: workers that are started together begin at different blocks. The
    iterator ends when the others have finished theirs, since the block of a killed worker must be taken over.
    """
    left = deque(worker.folder.unfinished())
    left.rotate(-int(begin * len(left)))
    while left:
        busy = []
        while left:
            block = left.popleft()
            with closing(worker.map_block(block)) as mapped:  # on an error the block is free at once
                is_own = yield from mapped
            if not is_own:
                busy.append(block)
                # Workers that meet at one block would meet at the next one, too.
                left.rotate(-random.randrange(len(left) + 1))
        unfinished = {block.name for block in worker.folder.unfinished()} if busy else set()
        left = deque(block for block in busy if block.name in unfinished)
        yield Advance(num_samples=sum(len(block) for block in busy if block.name not in unfinished))
        if left:
            logger.debug("waiting for %d blocks of other workers", len(left))
            time.sleep(_SECONDS_BETWEEN_LOOKS)
