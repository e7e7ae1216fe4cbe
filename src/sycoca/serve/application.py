"""The FastAPI application: the interface and the web page behind the gate."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache, partial
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse, PlainTextResponse, Response

from sycoca._version import __version__
from sycoca.inference.predictor import Predictor
from sycoca.search.image_index import ImageIndex
from sycoca.search.index_facts import ReplacedIndexError
from sycoca.serve.gate import OPEN_PATHS, Gate
from sycoca.serve.interface.api_page import api_page
from sycoca.serve.interface.information import Example, Info, examples, information
from sycoca.serve.interface.page_files import page_file
from sycoca.serve.interface.routes import router
from sycoca.serve.metrics import CONTENT_TYPE, Metrics
from sycoca.serve.refusals import RefusedError, error_body, refusal_of_image
from sycoca.serve.service import Service
from sycoca.serve.settings import Access, ServeSettings
from sycoca.unusable import UnusableSampleError

_DEFAULT_SETTINGS = ServeSettings()
_DEFAULT_ACCESS = Access()


def create_app(
    predictor: Predictor,
    index: ImageIndex | None = None,
    settings: ServeSettings = _DEFAULT_SETTINGS,
    *,
    access: Access = _DEFAULT_ACCESS,
    name: str = "model",
) -> FastAPI:
    """Return the application that serves a predictor, and an index of images made by the same weights.

    Run it by any ASGI server, in one process: its thread owns the model. ``access`` says who may use it, ``name`` is
    what ``/info`` calls the weights. Raises ValueError where other weights made the index.
    """
    metrics = Metrics()
    if index is not None:
        index.check_weights(predictor)
    service = Service(predictor, index, settings, metrics)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        service.close()

    # FastAPI's own documentation pages load scripts from another site; /docs is a plain page of ours.
    # Nor does it redirect: behind a proxy it would send clients, with their tokens, to an address without HTTPS.
    app = FastAPI(
        title="SyCoCa",
        version=__version__,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        lifespan=lifespan,
    )
    app.state.service, app.state.settings = service, settings
    app.include_router(router)
    _add_pages(app)
    info = partial(information, predictor, index, settings, access, name=name)
    _add_information(app, info, cache(partial(examples, predictor.image_size)), metrics)
    _add_error_answers(app)
    paths = {*app.openapi()["paths"], *OPEN_PATHS}
    app.add_middleware(Gate, settings=settings, access=access, metrics=metrics, paths=paths)
    return app


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    def page() -> Response:
        """Return the web page."""
        return page_file("index.html")

    @app.get("/page/{name}", include_in_schema=False)
    def file_of_page(name: str) -> Response:
        """Return a file of the web page."""
        return page_file(name)

    @app.get("/docs", include_in_schema=False)
    def docs() -> Response:
        """Return a page about the interface."""
        return api_page(app.openapi())


def _add_information(app: FastAPI, info: Any, listed_examples: Any, metrics: Metrics) -> None:
    @app.get("/health")
    async def health() -> dict[str, str]:
        """Say that the server runs."""
        return {"status": "ok"}

    @app.get("/info")
    def about() -> Info:
        """Say what the model can do, and what the limits are."""
        return info()

    @app.get("/examples")
    def some_examples() -> list[Example]:
        """Return images to try."""
        return listed_examples()

    @app.get("/metrics", response_class=PlainTextResponse)
    async def counts() -> Response:
        """Return counts and times in Prometheus' text format."""
        return PlainTextResponse(metrics.text(), media_type=CONTENT_TYPE)


def _add_error_answers(app: FastAPI) -> None:
    """Let every error be answered as ``{"error", "setting"}``."""

    @app.exception_handler(HTTPException)
    async def refused(_: Request, error: HTTPException) -> Response:
        setting = error.setting if isinstance(error, RefusedError) else None
        return JSONResponse(error_body(str(error.detail), setting), error.status_code, dict(error.headers or {}))

    @app.exception_handler(RequestValidationError)
    async def invalid(_: Request, error: RequestValidationError) -> Response:
        reasons = (f"{one['loc'][-1]}: {one['msg'][:1].lower()}{one['msg'][1:]}" for one in error.errors())
        return JSONResponse(error_body("; ".join(reasons)), 422)

    @app.exception_handler(UnusableSampleError)
    async def unusable(_: Request, error: UnusableSampleError) -> Response:
        refused = refusal_of_image(error)
        return JSONResponse(error_body(refused.detail, refused.setting), refused.status_code)

    @app.exception_handler(ValidationError)
    async def wrong_answer(_: Request, error: ValidationError) -> Response:
        raise error  # of the answer, such as NaN for a number: no fault of the client's

    @app.exception_handler(ReplacedIndexError)
    async def replaced(_: Request, __: ReplacedIndexError) -> Response:
        reason = "the index was replaced by one of other weights; the server has to be started again with these"
        return JSONResponse(error_body(reason), 503)

    @app.exception_handler(ValueError)
    async def impossible(_: Request, error: ValueError) -> Response:
        return JSONResponse(error_body(" ".join(str(error).split())), 422)
