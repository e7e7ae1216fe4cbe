"""The inverse temperature of the contrastive loss, and the logit bias: initial values and bounds."""

import math

from sycoca.model.config import SyCoCaConfig

INITIAL_LOGIT_SCALE = 1 / 0.07
"""The initial inverse temperature (CLIP, arXiv 2103.00020, section 2.5)."""

INITIAL_LOGIT_SCALE_WITH_BIAS, INITIAL_LOGIT_BIAS = 10.0, -10.0
"""The same beside a logit bias, whose initial value says that nearly all pairs are negatives (SigLIP, arXiv 2303.15343,
section 3.2)."""

MAX_LOGIT_SCALE = 100.0
"""Its upper bound, without which training becomes unstable (same section)."""


def initial_log_logit_scale(config: SyCoCaConfig) -> float:
    """Return the logarithm of the initial inverse temperature."""
    return math.log(INITIAL_LOGIT_SCALE_WITH_BIAS if config.has_logit_bias else INITIAL_LOGIT_SCALE)
