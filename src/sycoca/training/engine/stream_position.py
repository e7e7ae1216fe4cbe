"""Where a run stands in the stream of samples."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class StreamPosition:
    """Where a process starts to train: the batch size, and so samples per step, may have changed there."""

    step: int
    """Updates done."""

    samples_seen: int
    """Training samples consumed: the position in the stream of epochs, whatever batch sizes led there."""

    global_batch_size: int
    """Samples per step from here on."""

    def samples_after(self, step: int) -> int:
        """Return the samples consumed after a step that is not before this position."""
        return self.samples_seen + (step - self.step) * self.global_batch_size
