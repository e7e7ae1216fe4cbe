"""Forms of requests: their fields within the limits, and their images as small as the model sees them."""

import io
from collections.abc import Callable, Collection, Coroutine
from typing import Any, final

from fastapi import Request, Response
from fastapi.routing import APIRoute
from PIL import Image
from python_multipart.exceptions import FormParserError
from python_multipart.multipart import parse_options_header
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException

from sycoca.preprocess.config import ImageTransformConfig
from sycoca.preprocess.decoding import open_rgb
from sycoca.preprocess.image_transforms import inference_picture, smallest_inference_side
from sycoca.serve.refusals import RefusedError, too_large
from sycoca.serve.settings import ServeSettings

_OTHER_FIELDS = 8
"""Most fields of a form beside the names of classes."""

_FORMS = (b"multipart/form-data", b"application/x-www-form-urlencoded")


class _LimitedRequest(Request):
    """A request whose form has one file at most, short fields as the settings say, and no field that nothing reads."""

    field_names: Collection[str] = ()

    def form(self, **_: Any) -> Any:
        """Return the form; see `Request.form`."""
        return self._limited_form()

    async def _limited_form(self) -> FormData:
        settings: ServeSettings = self.app.state.settings
        self._check_encoding()
        try:
            # A character has at most 4 bytes in UTF-8.
            found = await super().form(
                max_files=1,
                max_fields=settings.max_class_names + _OTHER_FIELDS,
                max_part_size=4 * settings.max_text_characters,
            )
        except HTTPException as error:
            raise _refused(error.detail, settings) from error
        except FormParserError as error:  # of a Starlette before 1.0
            raise RefusedError(400, f"the form cannot be read: {error}") from error
        unknown = next((name for name in found if name not in self.field_names), None)
        if unknown is not None:
            await found.close()
            known = ", ".join(self.field_names)
            raise RefusedError(422, f"there is no field {unknown[:100]!r}; the fields are {known}")
        return found

    def _check_encoding(self) -> None:
        """Raise RefusedError for a body that is no form of UTF-8 texts."""
        encoding = self.headers.get("content-encoding", "identity")
        if encoding.lower() != "identity":
            raise RefusedError(415, f"the body is encoded as {encoding[:100]!r}; send it as it is")
        kind, options = parse_options_header(self.headers.get("content-type"))
        if kind and kind not in _FORMS:
            raise RefusedError(415, f"the body is {kind.decode('latin-1')[:100]!r}; send a multipart form")
        # Other codecs of Python's make texts that are none (unpaired surrogates), or take long.
        charset = options.get(b"charset", b"utf-8")
        if charset.lower() not in (b"utf-8", b"us-ascii"):
            raise RefusedError(415, f"the texts are in {charset.decode('latin-1')[:100]!r}; send them in UTF-8")


class LimitedRoute(APIRoute):
    """A route whose requests have limited forms."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the handler of requests."""
        handler = super().get_route_handler()
        names = tuple(field.alias for field in self.dependant.body_params)

        async def handle(request: Request) -> Response:
            limited = _LimitedRequest(request.scope, request.receive)
            limited.field_names = names
            return await handler(limited)

        return handle


def _refused(reason: str, settings: ServeSettings) -> RefusedError:
    """Return the refusal of a form that the parser does not accept, for a reason in its own words."""
    if "maximum size" in reason:
        return too_large(
            "a text of the request is too long", "max_text_characters", settings.max_text_characters, "characters"
        )
    if "Too many" in reason:
        what = "the request has too many fields or more than one file"
        return too_large(what, "max_class_names", settings.max_class_names, "names of classes")
    return RefusedError(400, f"the form cannot be read: {reason}")


def checked_text(text: str, name: str, settings: ServeSettings) -> str:
    """Return a text that is neither empty nor too long. Raises RefusedError."""
    if not text.strip():
        raise RefusedError(422, f"{name} is empty; write something")
    if len(text) > settings.max_text_characters:
        what = f"{name} has {len(text):,} characters"
        raise too_large(what, "max_text_characters", settings.max_text_characters, "characters")
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
