"""Suffixes of the keys of metrics: baselines, bounds, scorers and types. Imports no torch."""

from collections.abc import Mapping

MOST_FREQUENT = "_most_frequent"
"""Suffix of the keys of the most-frequent-answer baseline."""

QUESTION_ONLY = "_question_only"
"""Suffix of the keys of the baseline that answers by the question's text alone."""

NO_CAPTION = "_no_caption"
"""Suffix of the keys of the baseline that scores patches by the image's own embedding."""

OTHER_CAPTION = "_other_caption"
"""Suffix of the keys of the baseline that has another image's caption."""

EMPTY_CAPTION = "_empty_caption"
"""Suffix of the keys of the reconstruction error under an empty caption."""

ANY_OBJECT = "_any_object"
"""Suffix of the keys of the baseline that ranks the patches of all objects first, in random order."""

OTHER_IMAGE = "_other_image"
"""Suffix of the keys of the baseline that scores captions against another image of the set."""

BLANK_IMAGE = "_blank_image"
"""Suffix of the keys of the baseline that is shown an image of one color."""

CEILING = "_ceiling"
"""Suffix of the keys of upper bounds that no model exceeds on these data."""

SHORTER = "_shorter"
"""Suffix of the keys of the baseline that prefers the caption with fewer words."""

ALWAYS_YES = "_always_yes"
"""Suffix of the keys of the baseline that answers every question by yes."""

LIKELIHOOD = "_likelihood"
"""Suffix of the keys of choices by the captioner's likelihood per token; without it they are by cosine."""

LIKELIHOOD_GAIN = "_likelihood_gain"
"""Suffix of the keys of choices by how much more likely the image makes a caption."""

MEAN_OF_TYPES = "_mean_of_types"
"""Suffix of the keys of means over types of negatives, each type counting alike."""

NEGATIVE_TYPE = "of_negative_type_"
"""What precedes the name of a type of negatives in keys."""

PAIR_TYPE = "of_pair_type_"
"""What precedes the name of a type of Winoground's pairs in keys."""

QUESTION_TYPE = "of_question_type_"
"""What precedes the name of a type of questions in keys."""

RANDOM = "_random"
"""Suffix of the keys of what a random choice or order reaches on average."""

REFERENCES: Mapping[str, str] = {
    CEILING: "upper bound",
    "_largest": "upper bound",
    "_color_only": "color-only baseline",
    RANDOM: "random baseline",
    MOST_FREQUENT: "most-frequent baseline",
    QUESTION_ONLY: "question-only baseline",
    NO_CAPTION: "no-caption baseline",
    OTHER_CAPTION: "other-caption baseline",
    EMPTY_CAPTION: "empty-caption baseline",
    OTHER_IMAGE: "other-image baseline",
    BLANK_IMAGE: "blank-image baseline",
    SHORTER: "shorter-caption baseline",
    ALWAYS_YES: "always-yes baseline",
    ANY_OBJECT: "any-object baseline",
}
"""Suffixes of keys of bounds and baselines, and their meaning; a model is not better where one of them is higher."""

SUFFIXES: Mapping[str, str] = {
    **REFERENCES,
    LIKELIHOOD: "by likelihood",
    LIKELIHOOD_GAIN: "by likelihood gained from the image",
    MEAN_OF_TYPES: "mean over types",
    "_colors": "colors",
    "_shapes": "shapes",
    "_relation": "relation",
}
"""Suffixes of keys, and their meaning."""

OF_SET: Mapping[str, str] = {
    MOST_FREQUENT: "the most frequent of the set",
    QUESTION_ONLY: "the set's other questions",
    OTHER_CAPTION: "another caption of the set",
    OTHER_IMAGE: "another image of the set",
}
"""Suffixes of the keys of baselines that take something from the rest of the test set, and what: of the same item in
another set they are others."""

BASELINES: Mapping[str, str] = {
    MOST_FREQUENT: "most frequent answer",
    QUESTION_ONLY: "question without image",
    NO_CAPTION: "no caption",
    OTHER_CAPTION: "another image's caption",
    EMPTY_CAPTION: "an empty caption",
    OTHER_IMAGE: "another image",
    BLANK_IMAGE: "a blank image",
    SHORTER: "the shorter caption",
    ALWAYS_YES: "always yes",
    ANY_OBJECT: "all objects alike",
    RANDOM: "chance",
}
"""Suffixes of the keys of baselines that stand beside their metric, and what they are called there."""

TYPE_SUFFIXES: Mapping[str, str] = {
    "_of_answer_type_": "answers",
    f"_{QUESTION_TYPE}": "questions",
    f"_{NEGATIVE_TYPE}": "negatives",
    f"_{PAIR_TYPE}": "pairs",
}
"""Suffixes that precede the name of a type in the data, and their meaning."""
