"""Explanations: how well the patches of an image match a caption, its words and noun phrases.

`explanation` is the record. `explainer`, a base of `Predictor`, computes it with `explained_pairs` (maps, masks,
reconstructions), `caption_words`, `noun_phrases` and `text_spans`. `explanation_json` and `explanation_cell` write it
as JSON and as HTML for notebooks; `sycoca.reports.explain` draws it.
"""
