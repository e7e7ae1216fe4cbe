"""Forms of requests: their fields within the limits, and their images as small as the model sees them."""

import io
from collections.abc import Callable, Coroutine
from typing import Any, final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from PIL import Image
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.image_transforms import inference_picture, smallest_inference_side
from sycoca.serve.refusals import RefusedError, too_large
from sycoca.serve.settings import ServeSettings

_OTHER_FIELDS = 8
"""Most fields of a form beside the names of classes."""


class _LimitedRequest(Request):
    """A request whose form has at most one file, and fields as short as the settings say."""

    def form(self, **_: Any) -> Any:
        """Return the form; see `Request.form`."""
        return self._limited_form()

    async def _limited_form(self) -> FormData:
        settings: ServeSettings = self.app.state.settings
        try:
            # A letter has at most 4 bytes in UTF-8.
            return await super().form(
                max_files=1,
                max_fields=settings.max_class_names + _OTHER_FIELDS,
                max_part_size=4 * settings.max_text_letters,
            )
        except HTTPException as error:
            raise _refused(error.detail, settings) from error


class LimitedRoute(APIRoute):
    """A route whose requests have limited forms."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handler = super().get_route_handler()

        async def handle(request: Request) -> Response:
            return await handler(_LimitedRequest(request.scope, request.receive))

        return handle


def _refused(reason: str, settings: ServeSettings) -> RefusedError:
    """Return the refusal of a form that the parser does not accept, for a reason in its own words."""
    if "maximum size" in reason:
        return too_large("a text of the request is too long", "max_text_letters", settings.max_text_letters, "letters")
    if "Too many" in reason:
        what = "the request has too many fields or more than one file"
        return too_large(what, "max_class_names", settings.max_class_names, "names of classes")
    return RefusedError(400, f"the form cannot be read: {reason}")


def checked_text(text: str, name: str, settings: ServeSettings) -> str:
    """Return a text that is neither empty nor too long. Raises RefusedError."""
    if not text.strip():
        raise RefusedError(422, f"{name} is empty; write something")
    if len(text) > settings.max_text_letters:
        what = f"{name} has {len(text):,} letters"
        raise too_large(what, "max_text_letters", settings.max_text_letters, "letters")
    return text


@final
class PictureReader:
    """Reads uploaded images as the model's input size, so that a waiting request takes little memory."""

    def __init__(self, image_size: int, transforms: ImageTransformConfig) -> None:
        self._image_size = image_size
        self._transforms = transforms

    def __call__(self, upload: UploadFile) -> Image.Image:
        """Return the picture. Raises UnusableSampleError where it cannot be read or is too large."""
        data = upload.file.read()
        image = open_rgb(io.BytesIO(data), "the image", smallest_inference_side(self._image_size))
        return inference_picture(image, self._image_size, self._transforms)
