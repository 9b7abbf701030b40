"""The HTTP routes of the server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Body, FastAPI, Request
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import PlainTextResponse, Response

from harness.server.mock.sound import CONTENT_TYPES
from harness.server.reference.errors import faults, refusal, reply
from harness.server.reference.limits import RequestLimits
from harness.server.reference.requests import (
    Health,
    Model,
    Models,
    OpenAiSpeech,
    RaycastSpeech,
    Refusal,
    Speech,
    Voices,
)
from harness.server.reference.response import SpeechResponse
from harness.server.reference.service import MIN_RETRY_S, Service, State, Unavailable
from harness.server.reference.statistics import RequestOutcome

SPEECH = "/v1/audio/speech"
AUDIO: dict[str, Any] = {kind: {"schema": {"type": "string", "format": "binary"}} for kind in CONTENT_TYPES.values()}
UNAVAILABLE: dict[int | str, dict[str, Any]] = {503: {"model": Refusal, "description": "Starting, full or stopping"}}
SPEECH_ANSWERS: dict[int | str, dict[str, Any]] = {
    200: {"description": "Audio, mono, 24 kHz", "content": AUDIO},
    **{status: {"model": Refusal} for status in (400, 408, 413, 422, 429, 500, 504)},
    **UNAVAILABLE,
}


def create_app(service: Service, *, failed: Callable[[], None] = lambda: None) -> FastAPI:
    """Create the application. It loads the service at its start and calls `failed` if that fails."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        del app

        async def load() -> None:
            await service.load()
            if service.state is State.FAILED:
                failed()

        loading = asyncio.create_task(load())
        try:
            yield
        finally:
            await loading
            await asyncio.to_thread(service.close)

    app = FastAPI(title="kokoro-bench speech server", version="1", lifespan=lifespan, docs_url=None, redoc_url=None)
    app.add_middleware(RequestLimits, settings=service.settings, clock=service.clock)
    _add_speech(app, service)
    _add_lists(app, service)
    _add_state(app, service)
    _add_refusals(app, service)
    return app


def _add_speech(app: FastAPI, service: Service) -> None:
    @app.post(SPEECH, response_class=Response, responses=SPEECH_ANSWERS)
    async def speak(body: Annotated[Speech, Body()]) -> Response:
        """Synthesise a text, in the dialect of OpenAI (`input`) or of Raycast's server (`text`)."""
        speech: OpenAiSpeech | RaycastSpeech = body
        parsed = speech.parse()
        if len(parsed.request.text) > service.settings.max_characters:
            service.statistics.count(RequestOutcome.REFUSED)
            sentence = f"the text has more than {service.settings.max_characters} characters"
            return refusal(422, [{"type": "string_too_long", "loc": ["body"], "msg": sentence}])
        return SpeechResponse(service, parsed)


def _add_lists(app: FastAPI, service: Service) -> None:
    @app.get("/v1/models")
    async def models() -> Models:
        """The model names that a request may use."""
        return Models(data=[Model(id=name) for name in ("kokoro", "tts-1", "tts-1-hd")])

    @app.get("/v1/audio/voices", responses=UNAVAILABLE)
    async def voices() -> Voices:
        """The voices, for the dialect of OpenAI."""
        return Voices(voices=list(service.synthesizer.voices))

    @app.get("/voices", responses=UNAVAILABLE)
    async def raycast_voices() -> Voices:
        """The voices, for the dialect of Raycast's server."""
        return Voices(voices=list(service.synthesizer.voices))


def _add_state(app: FastAPI, service: Service) -> None:
    @app.get("/health", response_model=Health, responses={503: {"model": Health}})
    async def health() -> Response:
        """200 once the sessions are warm; 503 before, and after a request to stop."""
        health_report = {"status": service.state.value, "detail": service.reason}
        if service.state is State.READY:
            return reply(200, health_report)
        return reply(503, health_report, headers={"Retry-After": str(MIN_RETRY_S)})

    @app.get("/status")
    async def status() -> dict[str, Any]:
        """Sessions, cache, fall-backs, and statistics of all answers, by the harness's definitions."""
        return service.status()

    @app.get("/cache-status", responses=UNAVAILABLE)
    async def cache_status() -> dict[str, Any]:
        """The cache's counters, at the path of Raycast's server."""
        return service.cache_status()

    @app.get("/optimization-status", responses=UNAVAILABLE)
    async def optimization_status() -> dict[str, Any]:
        """The sessions' providers and counters, at the path of Raycast's server."""
        return service.optimization_status()

    @app.get("/startup-progress")
    async def startup_progress() -> dict[str, Any]:
        """The progress of the start, at the path of Raycast's server."""
        return service.startup_progress()

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics(request: Request) -> Response:
        """Metrics in the text format of Prometheus, or in OpenMetrics where `Accept` asks for it."""
        found = service.exposition(request.headers.get("accept", ""))
        return Response(found.content, media_type=found.content_type)


def _add_refusals(app: FastAPI, service: Service) -> None:
    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> Response:
        service.statistics.count(RequestOutcome.REFUSED)
        if service.state is not State.READY and request.url.path == SPEECH:
            # Who asks whether the server is ready, with no text, must not take a refusal of the body for a yes.
            return refusal(503, service.reason, headers={"Retry-After": str(MIN_RETRY_S)})
        return refusal(422, faults(error.errors()))

    @app.exception_handler(HTTPException)
    async def refused(request: Request, error: HTTPException) -> Response:
        if request.url.path == SPEECH and request.method == "POST":
            service.statistics.count(RequestOutcome.REFUSED)
        return refusal(error.status_code, error.detail, headers=error.headers)

    @app.exception_handler(Unavailable)
    async def unavailable(request: Request, error: Unavailable) -> Response:
        del request
        return refusal(error.status, str(error), headers={"Retry-After": str(error.retry_s)})
