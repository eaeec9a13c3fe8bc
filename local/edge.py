"""The edge: one reverse proxy in front of the emulator that adds what its API Gateway lacks.

Custom domains, the web ACL of a stage, its cache, request ids and source addresses, access log lines in the
stage's own format, metrics, 413 over 10 MB, empty bodies where there may be none, and gateway responses. It
reads every setting from the emulator's own API, so it knows nothing that was not deployed.
"""

import asyncio
import io
import json
import logging
import secrets
import threading
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from . import waf
from .access_lines import ABSENT, AccessLines, flat, log_line
from .aws import Aws
from .domains import locate, read_domains
from .exchange import Exchange, first_context, passes
from .firewalls import Firewalls
from .fresh import Fresh
from .gateway_responses import ACCESS_DENIED, Answer
from .metrics import MetricFilters, Metrics, measure_queues, request_values
from .stage_cache import Asked, StageCaches, Visit, Wish, warned
from .stages import NOTHING_DEPLOYED, Stages, path_parameters
from .standin.integration import CONTEXT_HEADER, DETAIL_HEADER, FAULT_HEADER

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

MIB = 1024 * 1024
LARGEST_HEADERS = 10_240
LARGEST_BODY = 10 * MIB
"""API Gateway's own limit ("Quotas for REST APIs")."""
FLUSH_SECONDS = 0.2
METRICS_SECONDS = 1.0
QUEUES_SECONDS = 5.0
ADDRESSES_SECONDS = 0.3
"""How often the IP sets of web ACLs are read again."""
CLIENT_HEADER = "x-edge-client-ip"
SECRET_HEADER = "x-edge-secret"  # noqa: S105 - a name
NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that the proxy's client would add where the caller sent none."""
BODILESS = {HTTPStatus.NO_CONTENT, HTTPStatus.NOT_MODIFIED}

OnRequest = Callable[[Mapping[str, str]], None]


class Edge:
    """The proxy, running in a thread of its own between ``with`` and its end."""

    def __init__(self, aws: Aws, port: int, log: Path, on_request: OnRequest | None = None) -> None:
        """Choose where it listens, and the file for what went wrong in it; nothing runs yet."""
        self._log_file = logging.FileHandler(log, mode="w", delay=True)
        self._logger = logging.getLogger(f"{__name__}.{port}")
        self._logger.propagate = False
        self._logger.addHandler(self._log_file)
        self.url = f"http://127.0.0.1:{port}"
        self.client_secret = secrets.token_urlsafe()
        """Who shows this may say which address it comes from; loopback has few."""
        self._aws = aws
        self._firewalls = Firewalls(aws)
        self._stages = Stages(aws, self._firewalls)
        self._domains = Fresh(partial(read_domains, aws))
        self._caches = StageCaches()
        self._lines = AccessLines(aws, f"edge-{port}")
        self._metrics = Metrics(aws)
        self._filters = MetricFilters(aws, self._metrics, self._logger)
        self._port = port
        self._on_request = on_request
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._serve, name="edge", daemon=True)
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._stop: asyncio.Event | None = None

    def __enter__(self) -> Self:
        self._thread.start()
        self._started.wait()
        if self._failure:
            raise self._failure
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._stop:
            with suppress(RuntimeError):  # its loop is closed where it failed
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        self._log_file.close()
        if self._failure and error is None:
            raise self._failure

    def as_client(self, address: str) -> dict[str, str]:
        """Return the headers with which a request counts as coming from an address."""
        return {CLIENT_HEADER: str(ip_address(address)), SECRET_HEADER: self.client_secret}

    def _serve(self) -> None:
        try:
            self._loop.run_until_complete(self._main())
        except BaseException as error:  # noqa: BLE001 - raised again by the thread that starts us
            self._failure = error
        finally:
            self._started.set()
            self._loop.close()

    async def _main(self) -> None:
        self._stop = asyncio.Event()
        app = web.Application(client_max_size=LARGEST_BODY + 1)
        app.router.add_route("*", "/{anything:.*}", self._handle)
        runner = web.AppRunner(
            app,
            access_log=None,
            handle_signals=False,
            # Nothing deployed asks for decompression.
            auto_decompress=False,
            max_line_size=LARGEST_HEADERS,
            max_field_size=LARGEST_HEADERS,
            logger=self._logger,
        )
        await runner.setup()
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            connector=connector,
            auto_decompress=False,
            skip_auto_headers=NOT_ADDED,
            # What is known of a caller comes back in a header, whose claims may be many.
            max_field_size=MIB,
        ) as self._client:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._started.set()
            await asyncio.gather(
                self._repeat(FLUSH_SECONDS, self._flush),
                self._repeat(ADDRESSES_SECONDS, partial(asyncio.to_thread, self._firewalls.refresh)),
                self._repeat(METRICS_SECONDS, partial(asyncio.to_thread, self._metrics.put)),
                self._repeat(
                    QUEUES_SECONDS, partial(asyncio.to_thread, measure_queues, self._aws, self._metrics)
                ),
            )
            await runner.cleanup()
            await self._flush()
            await asyncio.to_thread(self._metrics.put)

    async def _repeat(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again, until the edge stops."""
        while self._stop and not self._stop.is_set():
            await do()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    async def _handle(self, request: web.Request) -> web.Response:
        arrived, started = time.time(), time.monotonic()
        place = locate(await self._domains.get(), request.host, origin_form(request.raw_path))
        settings = await self._stages.of(place.target) if place else None
        if place is None or (settings and settings.endpoint_disabled and place.domain is None):
            return forbidden()
        context = first_context(request, place, arrived)
        context["identity"]["sourceIp"] = self._client_address(request)
        exchange = Exchange(request, place, settings or NOTHING_DEPLOYED, context)
        answer = filtered(exchange) or await self._answer(exchange)
        context["status"] = answer.status
        context["responseLatency"] = milliseconds_since(started)
        if settings:
            self._record(exchange)
        headers = CIMultiDict(answer.headers)
        headers["x-amzn-RequestId"] = context["requestId"]
        body = None if answer.status in BODILESS else answer.body
        return web.Response(status=answer.status, headers=headers, body=body)

    def _client_address(self, request: web.Request) -> str:
        """Return the address of the peer, or the one that a client says who knows the secret."""
        shown = request.headers.get(SECRET_HEADER, "")
        if secrets.compare_digest(shown.encode(errors="surrogateescape"), self.client_secret.encode()):
            return request.headers.get(CLIENT_HEADER) or request.remote or ABSENT
        return request.remote or ABSENT

    async def _answer(self, exchange: Exchange) -> Answer:
        """Return the answer to a request, and put what is learned on the way into its context."""
        try:
            body = await exchange.request.read()
        except web.HTTPRequestEntityTooLarge:
            return exchange.fault("REQUEST_TOO_LARGE")
        except (web.RequestPayloadError, ConnectionError):
            return exchange.fault("BAD_REQUEST_BODY")
        if exchange.settings is NOTHING_DEPLOYED or climbs(origin_form(exchange.request.raw_path)):
            return exchange.fault("MISSING_AUTHENTICATION_TOKEN")
        visit = exchange.visit = self._visit(exchange)
        answer = await self._forward(exchange, body)
        if visit is None or not exchange.passed:
            return answer
        if visit.refused:
            return exchange.fault(ACCESS_DENIED)
        if visit.kept:
            answer = visit.kept
        else:
            self._caches.keep(visit, answer)
        return warned(answer) if visit.wish is Wish.WARNED else answer

    def _visit(self, exchange: Exchange) -> Visit | None:
        """Look into the stage's cache, where the request's method has it."""
        request, path = exchange.request, exchange.resource_path
        caching = exchange.settings.caching.get(path) if request.method == "GET" else None
        if caching is None:
            return None
        parameters = path_parameters(path, exchange.place.decoded)
        asked = Asked(parameters, request.query, request.headers)
        return self._caches.visit(exchange.place.target, caching, asked)

    async def _forward(self, exchange: Exchange, body: bytes) -> Answer:
        """Return the emulator's answer, and note whether the request came as far as its integration."""
        # As it came: a URL that is taken apart and put together again could name another of the emulator's.
        target = URL(f"{self._aws.endpoint}/_aws/execute-api{exchange.place.inside}", encoded=True)
        async with self._client.request(
            exchange.request.method,
            target,
            headers=exchange.headers_inside(),
            data=io.BytesIO(body),
            allow_redirects=False,
        ) as answer:
            content = await answer.read()
            headers = CIMultiDict(answer.headers)
        exchange.learn(json.loads(headers.pop(CONTEXT_HEADER, "{}")), headers)
        fault_type = headers.get(FAULT_HEADER)
        if fault_type:
            return exchange.fault(fault_type, json.loads(headers.get(DETAIL_HEADER, "{}")))
        kept = CIMultiDict(
            (key, value) for key, value in headers.items() if passes(key) and key.lower() not in OURS
        )
        return Answer(answer.status, kept, content)

    def _record(self, exchange: Exchange) -> None:
        """Keep what is logged and measured of a request."""
        settings, context = exchange.settings, exchange.context
        self._metrics.request(exchange.served, request_values(context, exchange.cache_hit))
        if settings.log_group is None:
            return
        self._lines.add(settings.log_group, log_line(settings.log_format, context))
        if self._on_request:
            self._on_request(flat(context))

    async def _flush(self) -> None:
        for group, events in self._lines.take().items():
            await asyncio.to_thread(self._write, group, events)

    def _write(self, group: str, events: "list[InputLogEventTypeDef]") -> None:
        self._lines.put(group, events)
        self._filters.count(group, [each["message"] for each in events])


OURS = {
    "x-amzn-requestid",
    "x-amz-request-id",
    "date",
    "server",
    "content-encoding",
}
"""Headers of the emulator's that the edge replaces or that API Gateway does not send."""


def filtered(exchange: Exchange) -> Answer | None:
    """Return the answer to a request that the stage's web ACL blocks, and note what it decided."""
    acl, context = exchange.settings.web_acl, exchange.context
    if acl is None:
        return None
    client = waf.Client.at(context["identity"]["sourceIp"])
    decision = acl.decide(client, headers=exchange.request.headers)
    context["webaclArn"] = acl.arn
    context["wafResponseCode"] = "WAF_BLOCK" if decision.blocked else "WAF_ALLOW"
    if not decision.blocked:
        return None
    if decision.response is None:
        return exchange.fault("WAF_FILTERED")
    return Answer(decision.response.status, decision.response.headers, decision.response.body)


def forbidden() -> web.Response:
    """Answer what API Gateway does where there is no stage."""
    headers = {"Content-Type": "application/json", "x-amzn-ErrorType": "ForbiddenException"}
    return web.Response(status=HTTPStatus.FORBIDDEN, headers=headers, body=b'{"message":"Forbidden"}')


def milliseconds_since(started: float) -> int:
    """Return how long ago that was."""
    return round((time.monotonic() - started) * 1000)


def origin_form(target: str) -> str:
    """Return a target as path and query: some clients send scheme and host as well (RFC 9112, 3.2)."""
    if target.startswith("/"):
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def climbs(path: str) -> bool:
    """Whether a request's path has a segment that leads upwards, in whatever encoding."""
    return any(unquote(each) in {".", ".."} for each in path.partition("?")[0].split("/"))
