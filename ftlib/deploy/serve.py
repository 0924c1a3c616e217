"""An HTTP service for a classifier: limits, health, metrics, logs without texts,
versions.

Use it, with any object that answers like the Rollout of versions.py:

    >>> class Loud:  # is a text loud?
    ...     version, candidate, ready = "v1", None, True
    ...
    ...     async def answer(self, texts, request_id):
    ...         rows = [[0.0, 9.0 * t.isupper() - 4] for t in texts]
    ...         return self.version, numpy.array(rows)
    >>> app = create_app(Loud(), labels=["quiet", "loud"])
    >>> sorted(app.openapi()["paths"])
    ['/feedback', '/health', '/metrics', '/predict', '/ready']

Any ASGI server runs it. `python -m ftlib.deploy.serve FOLDER` does, with what stands
beside this file: export.py, batching.py, versions.py (which version in FOLDER is
current) and http_server.py.

What it is not: a front door to the internet. TLS, accounts and fair shares between
clients belong to a proxy before it. Needs: fastapi, prometheus-client, numpy.

Shapes: B texts of a request, C classes.
"""

import argparse
import asyncio
import contextlib
import hmac
import importlib
import json
import logging
import os
import re
import time
import uuid
from pathlib import Path
from typing import NamedTuple

import fastapi
import numpy
import prometheus_client
import pydantic
import pydantic_core
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

log = logging.getLogger("service")


class Limits(NamedTuple):
    """What one client may ask for; what is more is refused before it is computed."""

    body_bytes: int = 64 * 1024
    texts: int = 32  # in one request
    tokens: int = 256  # in one text
    seconds: float = 5.0  # for a body to arrive


class Strict(pydantic.BaseModel):
    """No other fields, and no number where a text belongs."""

    model_config = pydantic.ConfigDict(extra="forbid", strict=True)


class Texts(Strict):
    """What /predict reads."""

    texts: list[str] = pydantic.Field(min_length=1, examples=[["a fine film"]])


class Feedback(Strict):
    """Whether an answer was right, as somebody says later."""

    request_id: str
    correct: bool


class Rollout(Strict):
    """A version, and which part of the requests it answers."""

    version: str
    fraction: float = pydantic.Field(gt=0, le=1, description="1: it answers everything")


class Label(pydantic.BaseModel):
    """The most probable class of a text."""

    label: str
    confidence: float


class Answers(pydantic.BaseModel):
    """One label a text, in their order."""

    version: str
    request_id: str
    answers: list[Label]


class State(pydantic.BaseModel):
    """What serves."""

    version: str | None
    candidate: str | None
    ready: bool


class Error(pydantic.BaseModel):
    """Every refusal."""

    error: str
    request_id: str


class Refused(Exception):
    """A request without an answer; status: the HTTP status that says why."""

    def __init__(self, status, error):
        super().__init__(error)
        self.status = status


def softmax(rows):
    """(B, C) scores to probabilities, in float64."""
    rows = numpy.asarray(rows, numpy.float64)
    powers = numpy.exp(rows - rows.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


async def read_body(request, limits):
    """The bytes of a body, at most limits.body_bytes and in limits.seconds."""
    too_long = Refused(413, f"the body is longer than {limits.body_bytes} bytes")
    declared = request.headers.get("content-length", "0")
    if declared.isdigit() and int(declared) > limits.body_bytes:
        raise too_long
    body = bytearray()
    try:
        async with asyncio.timeout(limits.seconds):
            async for part in request.stream():
                body += part
                # a body in chunks declares no length
                if len(body) > limits.body_bytes:
                    raise too_long
    except TimeoutError as error:
        slow = f"the body did not arrive within {limits.seconds} s"
        raise Refused(408, slow) from error
    except ClientDisconnect as error:  # no fault of the service: no trace, no 500
        raise Refused(499, "the client has gone") from error
    return bytes(body)


async def read_json(request, kind, limits):
    """The body as a `kind` of the models above. Nesting deeper than the parser's 200,
    bytes that are no UTF-8, half surrogates and NaN are no JSON here.
    """
    body = await read_body(request, limits)
    try:
        return kind.model_validate(pydantic_core.from_json(body, allow_inf_nan=False))
    except pydantic.ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"])[:100]
        raise Refused(422, f"{field or 'body'}: {first['msg']}") from error
    except ValueError as error:
        raise Refused(400, f"the body is no JSON: {error}"[:200]) from error


def within_limits(texts, count, limits):
    """Refuse too many texts, or a text of too many tokens. count(text): its tokens."""
    if len(texts) > limits.texts:
        many = f"{len(texts)} texts, the limit of a request is {limits.texts}"
        raise Refused(422, f"{many}; send them in parts")
    for i, text in enumerate(texts):
        # a letter may be several tokens, so every text is counted
        if (tokens := count(text)) > limits.tokens:
            long = f"text {i} has {tokens} tokens, the limit is {limits.tokens}"
            raise Refused(422, f"{long}; cut it")


async def unless_gone(request, work):
    """The result of `work`, which is cancelled when the client goes away."""
    work, gone = asyncio.ensure_future(work), asyncio.ensure_future(request.receive())
    try:
        await asyncio.wait({work, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not work.done():
            raise Refused(499, "the client has gone")
        return work.result()
    finally:
        work.cancel()
        gone.cancel()


class Watch:
    """Around the app: a request id, the version in every answer, metrics, a log line,
    and an error that says nothing about the inside.
    """

    def __init__(self, app, service, registry):
        self.app, self.service = app, service
        names = ["method", "route", "status", "version"]
        self.requests = prometheus_client.Counter(
            "requests", "answers given", names, registry=registry
        )
        self.seconds = prometheus_client.Histogram(
            "request_seconds", "time to answer", ["route"], registry=registry
        )

    async def __call__(self, scope, receive, send):
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        started, given = time.perf_counter(), dict(scope["headers"])
        request_id = given.get(b"x-request-id", b"").decode("latin-1")
        # what a client sends goes back in a header, so it is letters and digits
        if not re.fullmatch(r"[A-Za-z0-9-]{1,64}", request_id):
            request_id = uuid.uuid4().hex
        state = scope.setdefault("state", {})
        state |= {"request_id": request_id, "status": None, "version": None}

        async def send_more(message):
            if message["type"] == "http.response.start":
                state["status"] = message["status"]
                version = state["version"] or self.service.version or "none"
                state["version"] = version
                message["headers"] = [
                    *message["headers"],
                    (b"x-request-id", request_id.encode()),
                    (b"x-model-version", version.encode()),
                    (b"x-content-type-options", b"nosniff"),
                ]
            await send(message)

        try:
            await self.app(scope, receive, send_more)
        except Exception as error:
            if state["status"] is None:
                answer = self._refusal(error, request_id)
                await answer(scope, receive, send_more)
        self._note(scope, state, time.perf_counter() - started)

    def _refusal(self, error, request_id):
        # batching.py has its own Refused: what counts is the status
        status = getattr(error, "status", None)
        if status is None:
            log.exception("failed", extra={"facts": {"request_id": request_id}})
            return error_response(500, "internal error", request_id)
        after = getattr(error, "retry_after", None)
        headers = {"Retry-After": str(after)} if after else None
        return error_response(status, str(error), request_id, headers)

    def _note(self, scope, state, seconds):
        # the route, not the path: a client could invent a million paths
        route = getattr(scope.get("route"), "path", "none")
        method = scope["method"] if scope["method"] in ("GET", "POST") else "other"
        labels = (method, route, state["status"], state["version"])
        self.requests.labels(*labels).inc()
        self.seconds.labels(route).observe(seconds)
        names = ("method", "route", "status", "version")
        facts = dict(zip(names, labels)) | {"milliseconds": round(1000 * seconds, 1)}
        facts |= {k: state[k] for k in ("request_id", "texts") if k in state}
        log.info("answered", extra={"facts": facts})


def error_response(status, error, request_id, headers=None):
    """The one form of a refusal."""
    content = {"error": error, "request_id": request_id}
    return fastapi.responses.JSONResponse(content, status, headers=headers)


async def _on_http_error(request, error):
    """404 and 405, in the form of all other errors."""
    request_id = request.scope["state"]["request_id"]
    return error_response(
        error.status_code, error.detail, request_id, headers=error.headers
    )


def described(kind, *errors):
    """What /openapi.json needs to know of a route that reads its own body."""
    content = {"application/json": {"schema": kind.model_json_schema()}}
    body = {"required": True, "content": content}
    errors = {status: {"model": Error} for status in errors}
    return {"openapi_extra": {"requestBody": body}, "responses": errors}


def create_app(service, labels, limits=Limits(), count=len, admin_token=None):
    """service: OneVersion, or the Rollout of versions.py. labels: of the C classes.
    count(text): its tokens, or characters. admin_token: without one no /admin is there.
    """

    @contextlib.asynccontextmanager
    async def lifespan(app):
        await service.begin()
        yield
        await service.close()  # finishes what was taken

    # no pages with scripts from elsewhere
    silent = {"docs_url": None, "redoc_url": None}
    app = fastapi.FastAPI(title="classifier", lifespan=lifespan, **silent)
    registry = prometheus_client.CollectorRegistry()
    prometheus_client.ProcessCollector(registry=registry)
    app.add_middleware(Watch, service=service, registry=registry)
    app.add_exception_handler(HTTPException, _on_http_error)
    _add_answers(app, service, labels, limits, count)
    _add_health(app, service, registry)
    if admin_token:
        _add_admin(app, service, limits, admin_token)
    return app


def _add_answers(app, service, labels, limits, count):
    @app.post(
        "/predict",
        response_model=Answers,
        **described(Texts, 400, 408, 413, 422, 429, 503, 504),
    )
    async def predict(request: fastapi.Request):
        state = request.scope["state"]
        texts = (await read_json(request, Texts, limits)).texts
        within_limits(texts, count, limits)
        state["texts"] = len(texts)
        work = service.answer(texts, state["request_id"])
        state["version"], rows = await unless_gone(request, work)
        answers = [
            {"label": labels[int(row.argmax())], "confidence": float(row.max())}
            for row in softmax(rows)
        ]
        facts = {"version": state["version"], "request_id": state["request_id"]}
        return facts | {"answers": answers}

    @app.post(
        "/feedback", status_code=204, **described(Feedback, 400, 404, 408, 413, 422)
    )
    async def feedback(request: fastapi.Request):
        judged = await read_json(request, Feedback, limits)
        try:
            service.feedback(judged.request_id, judged.correct)
        except KeyError as error:
            raise Refused(404, "no such answer, or it has been judged") from error
        return fastapi.Response(status_code=204)


def _add_health(app, service, registry):
    @app.get("/health", response_model=State)
    def health():
        return _state(service)

    @app.get("/ready", response_model=State, responses={503: {"model": State}})
    def ready():
        code = 200 if service.ready else 503
        return fastapi.responses.JSONResponse(_state(service), code)

    @app.get("/metrics", response_class=fastapi.responses.PlainTextResponse)
    def metrics():
        text = prometheus_client.generate_latest(registry)
        return fastapi.Response(text, media_type=prometheus_client.CONTENT_TYPE_LATEST)


def _state(service):
    return {name: getattr(service, name) for name in State.model_fields}


def _add_admin(app, service, limits, admin_token):
    def is_admin(authorization: str = fastapi.Header("")):
        # compared in constant time, as bytes: a header may hold any of them
        wanted = f"Bearer {admin_token}".encode()
        if not hmac.compare_digest(authorization.encode(), wanted):
            raise HTTPException(401, "no access", {"WWW-Authenticate": "Bearer"})

    may = [fastapi.Depends(is_admin)]

    failures = {401: {"model": Error}, 409: {"model": Error}}

    @app.post(
        "/admin/rollback", response_model=State, dependencies=may, responses=failures
    )
    async def rollback():
        return await _moved(service, service.rollback())

    @app.post(
        "/admin/rollout",
        response_model=State,
        dependencies=may,
        **described(Rollout, 400, 401, 408, 409, 413, 422),
    )
    async def rollout(request: fastapi.Request):
        wish = await read_json(request, Rollout, limits)
        if wish.fraction == 1:
            return await _moved(service, service.activate(wish.version))
        return await _moved(service, service.canary(wish.version, wish.fraction))


async def _moved(service, work):
    try:
        await work
    except (ValueError, OSError, LookupError) as error:
        # what serves goes on serving
        log.exception("not moved")
        raise Refused(409, "this version cannot serve; the log says why") from error
    return _state(service)


def named(name):
    """The thing that "module:thing" names, as uvicorn does it."""
    module, _, thing = name.partition(":")
    return getattr(importlib.import_module(module), thing)


def _config(folder):
    return json.loads((folder / "config.json").read_text(encoding="utf-8"))


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8000)
    parser.add_argument("--drain", type=float, default=0)
    parser.add_argument("--batch-texts", type=int, default=32)
    parser.add_argument("--workers", type=int, default=2)  # batches at a time
    # files that are used alone name what they work with here
    parser.add_argument("--load", default="ftlib.deploy.export:load")
    parser.add_argument("--count", default="ftlib.deploy.export:token_counter")
    parser.add_argument("--batcher", default="ftlib.deploy.batching:Batcher")
    parser.add_argument("--rollout", default="ftlib.deploy.versions:Rollout")
    parser.add_argument("--serve", default="ftlib.deploy.http_server:serve")
    args = parser.parse_args(arguments)
    load, batcher = named(args.load), named(args.batcher)

    def start(name):
        own = _config(args.folder / name)
        if any(own[key] != config[key] for key in ("labels", "max_tokens")):
            raise ValueError(
                f"version {name} has other labels or max_tokens than this service; "
                "start a service of its own for it"
            )
        predict = load(args.folder / name).predict
        return batcher(predict, args.batch_texts, workers=args.workers)

    service = named(args.rollout)(start, args.folder)
    folder = args.folder / service.pointed()
    config = _config(folder)
    limits = Limits(tokens=config["max_tokens"])
    count, token = named(args.count)(folder), os.environ.get("ADMIN_TOKEN")
    app = create_app(service, config["labels"], limits, count, token)
    named(args.serve)(app, service, args.host, args.port, drain=args.drain)


if __name__ == "__main__":
    main()
