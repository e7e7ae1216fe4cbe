"""Captions that an explanation compares a caption with, where the user names none. Imports nothing."""

OTHER_CAPTIONS: tuple[str, ...] = (
    "a dog",
    "a cat on a sofa",
    "a man in a red shirt",
    "two women talking",
    "children playing in a park",
    "a crowd of people in a street",
    "a person riding a bicycle",
    "a car parked beside a house",
    "a boat on the water",
    "snow on a mountain",
    "a tree in a field of grass",
    "a bird in the sky",
    "a horse jumping over a fence",
    "a plate of food on a table",
    "a room with a bed and a lamp",
    "a close-up of a flower",
    "a red circle above a blue square",
    "a yellow triangle left of a green cross",
    "a purple square below an orange circle",
    "a cyan cross right of a pink triangle",
    "a blue circle left of a yellow square",
    "a green triangle above a purple cross",
    "an orange square right of a cyan circle",
    "a pink cross below a red triangle",
)
"""Subjects of photos, and shapes as in the built-in scenes: each color three times, each shape four times."""
