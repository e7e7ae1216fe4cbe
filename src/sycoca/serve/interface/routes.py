"""The paths of the interface: each reads its form, asks the `Service` and writes the answer."""

from typing import Annotated, Any

from fastapi import APIRouter, Depends, File, Form, Request, UploadFile
from torch import Tensor

from sycoca.data.class_lists import named_classes
from sycoca.inference.classification import PHOTO_TEMPLATES
from sycoca.inference.decoding.generation_config import GenerationConfig
from sycoca.inference.prompts import all_prompts
from sycoca.serve.conditions import check_condition
from sycoca.serve.interface.answers import (
    AskAnswer,
    CaptionAnswer,
    ClassAnswer,
    ClassifyAnswer,
    EmbedAnswer,
    ErrorAnswer,
    SearchAnswer,
    ask_answer,
    caption_answer,
    search_answer,
)
from sycoca.serve.interface.uploads import LimitedRoute, checked_text
from sycoca.serve.kinds import Captioned
from sycoca.serve.refusals import RefusedError, too_large
from sycoca.serve.service import Service
from sycoca.serve.settings import ServeSettings

_MOST_GUIDANCE = 10.0
"""Largest scale of guidance; far below it captions are no sentences any more."""

_ERRORS: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": text}
    for status, text in {
        401: "the token is missing or wrong",
        413: "the request, its image or a text exceeds a limit",
        415: "the body is no form of UTF-8 texts, or compressed",
        422: "the image or a field cannot be used",
        429: "too many requests at a time; Retry-After says when to try again",
        504: "there was no answer in time",
    }.items()
}

router = APIRouter(route_class=LimitedRoute, responses=_ERRORS)


def _service(request: Request) -> Service:
    return request.app.state.service


def _settings(request: Request) -> ServeSettings:
    return request.app.state.settings


Model = Annotated[Service, Depends(_service)]
Limits = Annotated[ServeSettings, Depends(_settings)]
Upload = Annotated[UploadFile, File(description="a JPEG, PNG, WebP, GIF, TIFF or BMP file")]


@router.post("/caption")
async def caption(
    image: Upload,
    model: Model,
    limits: Limits,
    num_beams: Annotated[int, Form(ge=1, description="1 is greedy decoding, more is beam search")] = 1,
    guidance_scale: Annotated[
        float, Form(ge=0, le=_MOST_GUIDANCE, description="1 is off, more says more of this image")
    ] = 1.0,
) -> CaptionAnswer:
    """Caption an image."""
    config = GenerationConfig(num_beams=num_beams, guidance_scale=guidance_scale)
    if num_beams * config.num_passes > limits.max_beams:
        twice = ", each computed twice for guidance" if config.is_guided else ""
        raise too_large(f"num_beams is {num_beams:,}{twice}", "max_beams", limits.max_beams, "beams")
    found = await model.caption(await model.picture(image), config)
    return caption_answer(found, model.predictor.tokenizer)


@router.post("/embed")
async def embed(
    model: Model,
    limits: Limits,
    image: Annotated[UploadFile | None, File(description="an image file")] = None,
    text: Annotated[str | None, Form(description="a text")] = None,
) -> EmbedAnswer:
    """Embed an image, a text or both in the joint space."""
    if image is None and text is None:
        raise RefusedError(422, "give an image, a text or both")
    text_embed = None if text is None else await model.embed_text(checked_text(text, "text", limits))
    image_embed = None if image is None else await model.embed_image(await model.picture(image))
    return EmbedAnswer(
        image_embed=None if image_embed is None else image_embed.tolist(),
        text_embed=None if text_embed is None else text_embed.tolist(),
        notices=[] if text is None else model.notices(text),
    )


@router.post("/ask")
async def ask(
    image: Upload, question: Annotated[str, Form(description="a question about it")], model: Model, limits: Limits
) -> AskAnswer:
    """Answer a question about an image: from a fine-tuned model's list of answers, or as the text decoder continues."""
    checked_text(question, "question", limits)
    found = await model.answer(await model.picture(image), question)
    return ask_answer(found, model.predictor.tokenizer, model.notices(question))


@router.post("/classify")
async def classify(
    image: Upload,
    model: Model,
    limits: Limits,
    class_names: Annotated[
        list[str] | None, Form(description="the classes; without them those of a fine-tuned model's head")
    ] = None,
) -> ClassifyAnswer:
    """Classify an image, zero-shot or with the head of a fine-tuned model."""
    if class_names is not None and len(class_names) > limits.max_class_names:
        what = f"there are {len(class_names):,} class names"
        raise too_large(what, "max_class_names", limits.max_class_names, "names")
    names = model.class_names([checked_text(name, "a class name", limits) for name in class_names or []] or None)
    scores = await model.class_scores(await model.picture(image), class_names)
    cosines = None if class_names is None else (scores / model.logit_scale()).tolist()
    probabilities = scores.softmax(0).tolist()
    classes = [
        ClassAnswer(name=name, probability=probabilities[index], cosine=None if cosines is None else cosines[index])
        for index, name in enumerate(names)
    ]
    prompts = [] if class_names is None else all_prompts(named_classes(class_names), PHOTO_TEMPLATES)
    return ClassifyAnswer(classes=sorted(classes, key=lambda one: -one.probability), notices=model.notices(*prompts))


@router.post("/explain")
async def explain(
    image: Upload,
    model: Model,
    limits: Limits,
    caption: Annotated[str | None, Form(description="a caption; without it the model's own is explained")] = None,
    edited_caption: Annotated[
        str | None, Form(description="another caption, under which the same masked patches are reconstructed")
    ] = None,
    reconstruct: Annotated[bool, Form(description="whether to reconstruct the masked patches")] = True,
) -> dict[str, Any]:
    """Say which patches match the caption and each of its words, and reconstruct the masked ones.

    The answer is that of `Explanation.to_json` with pictures.
    """
    given = {"caption": caption, "edited_caption": edited_caption}
    texts = [checked_text(text, name, limits) for name, text in given.items() if text is not None]
    captioned = Captioned(picture=await model.picture(image), reconstructs=reconstruct, **given)
    return {**await model.explain(captioned), "notices": model.notices(*texts)}


async def _embedding(model: Service, limits: ServeSettings, text: str | None, image: UploadFile | None) -> Tensor:
    if text is not None and image is None:
        return await model.embed_text(checked_text(text, "text", limits))
    if image is not None and text is None:
        return await model.embed_image(await model.picture(image))
    raise RefusedError(422, "give a text or an image")


@router.post("/search")
async def search(
    model: Model,
    limits: Limits,
    text: Annotated[str | None, Form(description="what to search for")] = None,
    image: Annotated[UploadFile | None, File(description="or an image file to search for")] = None,
    count: Annotated[int, Form(ge=1, description="most hits")] = 12,
    where: Annotated[str | None, Form(description="a condition on the columns, as SQL has them")] = None,
) -> SearchAnswer:
    """Search the server's index for images that fit a text or an image."""
    if count > limits.max_hits:
        raise too_large(f"count is {count:,}", "max_hits", limits.max_hits, "hits")
    if where is not None:
        check_condition(checked_text(where, "where", limits))
    embedding = await _embedding(model, limits, text, image)
    found = await model.search(embedding, count, where)
    return search_answer(found, [] if text is None else model.notices(text))
