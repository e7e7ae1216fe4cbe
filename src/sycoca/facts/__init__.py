"""Tables of facts about objectives, metrics, optimizers and kinds of training, one per kind; imports no torch."""
