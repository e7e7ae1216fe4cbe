"""A Gradio application for Hugging Face Spaces: caption, ask, classify and explain an image.

The Space's variable SYCOCA_WEIGHTS names the weights: hf:owner/name, or a folder of the Space.
"""

import os
from collections.abc import Callable
from functools import wraps
from typing import Any

import gradio as gr
import numpy as np
from PIL import Image

import sycoca

predictor = sycoca.load(os.environ.get("SYCOCA_WEIGHTS", "weights"))


def _with_reasons(function: Callable[..., Any]) -> Callable[..., Any]:
    """Let the page say why a function of an image refuses what it is given."""

    @wraps(function)
    def called(image: Image.Image | None, value: Any) -> Any:
        if image is None:
            raise gr.Error("choose an image")
        if isinstance(value, str) and not value.strip(" ,"):
            raise gr.Error("write something")
        try:
            return function(image, value)
        except ValueError as error:
            raise gr.Error(str(error)) from error

    return called


@_with_reasons
def caption(image: Image.Image, num_beams: int) -> str:
    """Return a caption."""
    return predictor.caption(image, num_beams=int(num_beams))[0]


@_with_reasons
def answer(image: Image.Image, question: str) -> str:
    """Return the answer to a question."""
    return predictor.ask(image, question, open_ended=predictor.config.answers is None)


@_with_reasons
def classify(image: Image.Image, class_names: str) -> dict[str, float]:
    """Return the probability of each of some classes, which commas separate."""
    names = [name.strip() for name in class_names.split(",") if name.strip()]
    return dict(zip(names, predictor.class_probabilities(image, names)[0].tolist(), strict=True))


@_with_reasons
def explain(image: Image.Image, text: str) -> Image.Image:
    """Return the image as the model sees it, brighter where it matches the text better; one scale for all texts."""
    explanation = predictor.explain(image, text, reconstructs=False)
    low, high = explanation.scale
    weights = np.clip((explanation.patch_scores - low) / (high - low), 0, 1)
    height, width = explanation.original.shape[:2]
    mask = Image.fromarray((255 * weights).astype(np.uint8)).resize((width, height), Image.Resampling.BILINEAR)
    dark = Image.fromarray((explanation.original * 0.15).astype(np.uint8))
    return Image.composite(Image.fromarray(explanation.original), dark, mask)


with gr.Blocks(title="SyCoCa") as demo:
    gr.Markdown("# SyCoCa\nCaptions, answers, classes, and which patches match a text.")
    with gr.Row():
        picture = gr.Image(type="pil", label="Image")
        with gr.Column():
            with gr.Tab("Caption"):
                beams = gr.Slider(1, 8, value=4, step=1, label="Beams")
                written = gr.Textbox(label="Caption")
                gr.Button("Caption").click(caption, [picture, beams], written)
            with gr.Tab("Ask"):
                question = gr.Textbox(label="Question")
                answered = gr.Textbox(label="Answer")
                gr.Button("Ask").click(answer, [picture, question], answered)
            with gr.Tab("Classify"):
                names = gr.Textbox(label="Classes, with commas between them", value="dog, cat")
                classes = gr.Label(label="Probabilities")
                gr.Button("Classify").click(classify, [picture, names], classes)
            with gr.Tab("Explain"):
                text = gr.Textbox(label="Text", value="a dog")
                shown = gr.Image(label="Brighter patches match better", format="png")
                gr.Button("Explain").click(explain, [picture, text], shown)

if __name__ == "__main__":
    demo.launch()
