"""The edge: one reverse proxy in front of the emulator that adds what its API Gateway lacks.

The web ACL of a stage, request ids and source addresses, access log lines in the stage's own format, 413 over
10 MB, empty bodies where there may be none, and gateway responses for faults of an integration. It reads
every setting from the emulator's own API, so it knows nothing that was not deployed.
"""

import asyncio
import io
import json
import logging
import re
import secrets
import threading
import time
import uuid
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from ipaddress import ip_address
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self
from urllib.parse import unquote

import aiohttp
from aiohttp import web
from yarl import URL

from . import waf
from .aws import Aws
from .firewalls import Firewalls
from .standin.integration import CONTEXT_HEADER, FAULT_HEADER

if TYPE_CHECKING:
    from mypy_boto3_logs.type_defs import InputLogEventTypeDef

MIB = 1024 * 1024
LARGEST_HEADERS = 10_240
LARGEST_BODY = 10 * MIB
"""API Gateway's own limit ("Quotas for REST APIs")."""
FLUSH_SECONDS = 0.2
SETTINGS_SECONDS = 1.0
ADDRESSES_SECONDS = 0.3
"""How often the IP sets of web ACLs are read again."""
CLIENT_HEADER = "x-edge-client-ip"
SECRET_HEADER = "x-edge-secret"  # noqa: S105 - a name
ABSENT = "-"
VARIABLE = re.compile(r"\$context\.([A-Za-z][A-Za-z0-9_.]*[A-Za-z0-9])")
ERROR_VARIABLE = re.compile(r"\$context\.(error\.messageString|error\.responseType|error\.message|requestId)")
HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding",
    "upgrade", "host", "content-length",
}  # fmt: skip
NOT_ADDED = ("Accept", "Accept-Encoding", "Content-Type", "User-Agent")
"""Headers that the proxy's client would add where the caller sent none."""
FAULTS = {
    "BAD_REQUEST_BODY": (400, "Invalid request body"),
    "WAF_FILTERED": (403, "Forbidden"),
    "MISSING_AUTHENTICATION_TOKEN": (403, "Missing Authentication Token"),
    "REQUEST_TOO_LARGE": (413, "Request Too Long"),
    "API_CONFIGURATION_ERROR": (500, "Internal server error"),
    "INTEGRATION_FAILURE": (504, "Internal server error"),
}
"""Gateway responses that the edge has to give: API Gateway's own status and message."""

OnRequest = Callable[[Mapping[str, str]], None]


@dataclass(frozen=True)
class StageSettings:
    """What is deployed of one stage."""

    log_group: str | None
    log_format: str
    routes: tuple[str, ...]
    gateway_responses: Mapping[str, Mapping[str, Any]]
    web_acl: waf.WebAcl | None = None


NOTHING_DEPLOYED = StageSettings(None, "", (), {})


@dataclass(frozen=True)
class Answer:
    """What goes back to the client."""

    status: int
    headers: Mapping[str, str]
    body: bytes


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
        self._port = port
        self._on_request = on_request
        self._settings: dict[tuple[str, str], tuple[float, StageSettings]] = {}
        self._lines: dict[str, list[InputLogEventTypeDef]] = {}
        self._streams: set[str] = set()
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
        app.router.add_route("*", "/{api}/{stage}/{path:.*}", self._handle)
        app.router.add_route("*", "/{anything:.*}", forbidden)
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
            connector=connector, auto_decompress=False, skip_auto_headers=NOT_ADDED
        ) as self._client:
            await web.TCPSite(runner, "127.0.0.1", self._port).start()
            self._started.set()
            await asyncio.gather(
                self._repeat(FLUSH_SECONDS, self._flush),
                self._repeat(ADDRESSES_SECONDS, partial(asyncio.to_thread, self._firewalls.refresh)),
            )
            await runner.cleanup()
            await self._flush()

    async def _repeat(self, seconds: float, do: Callable[[], Awaitable[None]]) -> None:
        """Do something again and again, until the edge stops."""
        while self._stop and not self._stop.is_set():
            await do()
            with suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), seconds)

    async def _handle(self, request: web.Request) -> web.Response:
        arrived, started = time.time(), time.monotonic()
        api, stage = request.match_info["api"], request.match_info["stage"]
        settings = await self._stage(api, stage)
        context: dict[str, Any] = {
            "requestId": str(uuid.uuid4()),
            "identity": {"sourceIp": self._client_address(request)},
            "requestTimeEpoch": int(arrived * 1000),
            "httpMethod": request.method,
            "stage": stage,
        }
        if settings:
            context["resourcePath"] = route(settings.routes, f"/{request.match_info['path']}")
        answer = filtered(settings, context) or await self._answer(request, settings, context)
        context["status"] = answer.status
        context["responseLatency"] = round((time.monotonic() - started) * 1000)
        if settings:
            self._log(settings, context)
        empty = answer.status == web.HTTPNoContent.status_code
        return web.Response(
            status=answer.status,
            headers={**answer.headers, "x-amzn-RequestId": context["requestId"]},
            body=None if empty else answer.body,
        )

    def _client_address(self, request: web.Request) -> str:
        """Return the address of the peer, or the one that a client says who knows the secret."""
        shown = request.headers.get(SECRET_HEADER, "")
        if secrets.compare_digest(shown.encode(errors="surrogateescape"), self.client_secret.encode()):
            return request.headers.get(CLIENT_HEADER) or request.remote or ABSENT
        return request.remote or ABSENT

    async def _answer(
        self, request: web.Request, settings: StageSettings | None, context: dict[str, Any]
    ) -> Answer:
        """Return the answer to a request, and put what is learned on the way into its context."""
        try:
            body = await request.read()
        except web.HTTPRequestEntityTooLarge:
            return fault(settings or NOTHING_DEPLOYED, "REQUEST_TOO_LARGE", context)
        except (web.RequestPayloadError, ConnectionError):
            return fault(settings or NOTHING_DEPLOYED, "BAD_REQUEST_BODY", context)
        path = origin_form(request.raw_path)
        if settings is None or climbs(path):
            return fault(settings or NOTHING_DEPLOYED, "MISSING_AUTHENTICATION_TOKEN", context)
        given = {key: value for key, value in request.headers.items() if passes(key)}
        given["X-Forwarded-For"] = context["identity"]["sourceIp"]
        # As it came: a URL that is taken apart and put together again could name another of the emulator's.
        target = URL(f"{self._aws.endpoint}/_aws/execute-api{path}", encoded=True)
        async with self._client.request(
            request.method, target, headers=given, data=io.BytesIO(body), allow_redirects=False
        ) as answer:
            content = await answer.read()
            headers = dict(answer.headers)
        seen = json.loads(headers.pop(CONTEXT_HEADER, "{}"))
        context |= seen
        if not seen:
            context["requestId"] = headers.get("x-amzn-requestid", context["requestId"])
        fault_type = headers.pop(FAULT_HEADER, None)
        if fault_type:
            return fault(settings, fault_type, context)
        kept = {key: value for key, value in headers.items() if passes(key) and key.lower() not in OURS}
        return Answer(answer.status, kept, content)

    async def _stage(self, api: str, name: str) -> StageSettings | None:
        read, settings = self._settings.get((api, name), (0.0, None))
        if settings is None or time.monotonic() - read > SETTINGS_SECONDS:
            settings = await asyncio.to_thread(self._read_stage, api, name)
            if settings:
                self._settings[api, name] = (time.monotonic(), settings)
        return settings

    def _read_stage(self, api: str, name: str) -> StageSettings | None:
        gateway = self._aws.client("apigateway")
        try:
            stage = gateway.get_stage(restApiId=api, stageName=name)
            resources = gateway.get_resources(restApiId=api, limit=500)["items"]
            responses = gateway.get_gateway_responses(restApiId=api, limit=500)["items"]
        except gateway.exceptions.NotFoundException:
            return None
        log = stage.get("accessLogSettings", {})
        arn = log.get("destinationArn", "")
        return StageSettings(
            log_group=arn.partition(":log-group:")[2] or None,
            log_format=log.get("format", ""),
            routes=tuple(each["path"] for each in resources),
            gateway_responses={each["responseType"]: each for each in responses},
            web_acl=self._firewalls.of(stage_arn(self._aws.region, api, name)),
        )

    def _log(self, settings: StageSettings, context: Mapping[str, Any]) -> None:
        if settings.log_group is None:
            return
        line = log_line(settings.log_format, context)
        event: InputLogEventTypeDef = {"timestamp": int(time.time() * 1000), "message": line}
        self._lines.setdefault(settings.log_group, []).append(event)
        if self._on_request:
            self._on_request(flat(context))

    async def _flush(self) -> None:
        pending, self._lines = self._lines, {}
        for group, events in pending.items():
            await asyncio.to_thread(self._put, group, events)

    def _put(self, group: str, events: "list[InputLogEventTypeDef]") -> None:
        logs = self._aws.client("logs")
        stream = f"edge-{self._port}"
        # Where the group was deleted, the lines are lost, as on AWS.
        with suppress(logs.exceptions.ResourceNotFoundException):
            if group not in self._streams:
                logs.create_log_stream(logGroupName=group, logStreamName=stream)
                self._streams.add(group)
            logs.put_log_events(logGroupName=group, logStreamName=stream, logEvents=events)


OURS = {
    "x-amzn-requestid",
    "x-amz-request-id",
    "date",
    "server",
    "content-encoding",
}
"""Headers of the emulator's that the edge replaces or that API Gateway does not send."""


def stage_arn(region: str, api: str, stage: str) -> str:
    """Return the ARN of a stage, as web ACLs are associated with it."""
    return f"arn:aws:apigateway:{region}::/restapis/{api}/stages/{stage}"


def filtered(settings: StageSettings | None, context: dict[str, Any]) -> Answer | None:
    """Return the answer to a request that the stage's web ACL blocks, and note what it decided."""
    if settings is None or settings.web_acl is None:
        return None
    decision = settings.web_acl.decide(waf.Client.at(context["identity"]["sourceIp"]))
    context["webaclArn"] = settings.web_acl.arn
    context["wafResponseCode"] = "WAF_BLOCK" if decision.blocked else "WAF_ALLOW"
    if not decision.blocked:
        return None
    if decision.response is None:
        return fault(settings, "WAF_FILTERED", context)
    return Answer(decision.response.status, decision.response.headers, decision.response.body)


async def forbidden(_request: web.Request) -> web.Response:
    """Answer what API Gateway does where there is no stage."""
    return web.json_response({"message": "Forbidden"}, status=HTTPStatus.FORBIDDEN)


def passes(header: str) -> bool:
    """Whether a header goes through the edge: none of a connection's, and none that only the edge may set."""
    lowered = header.lower()
    return lowered not in HOP_BY_HOP and not lowered.startswith("x-edge-") and lowered != "x-forwarded-for"


def origin_form(target: str) -> str:
    """Return a target as path and query: some clients send scheme and host as well (RFC 9112, 3.2)."""
    if target.startswith("/"):
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def climbs(path: str) -> bool:
    """Whether a request's path has a segment that leads upwards, in whatever encoding."""
    return any(unquote(each) in {".", ".."} for each in path.partition("?")[0].split("/"))


def route(routes: tuple[str, ...], path: str) -> str:
    """Return the resource path that a request's path belongs to."""
    wanted = path.strip("/").split("/")
    for each in routes:
        parts = each.strip("/").split("/")
        if len(parts) == len(wanted) and all(
            part == word or part.startswith("{") for part, word in zip(parts, wanted, strict=True)
        ):
            return each
    return ABSENT


def log_line(log_format: str, context: Mapping[str, Any]) -> str:
    """Return an access log line as API Gateway writes it: bare values, and ``-`` where there is none."""
    values = flat(context)
    return VARIABLE.sub(lambda found: values.get(found[1], ABSENT) or ABSENT, log_format)


def flat(context: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return a context's values by their dotted names."""
    values: dict[str, str] = {}
    for key, value in context.items():
        if isinstance(value, Mapping):
            values |= flat(value, f"{prefix}{key}.")
        elif value is not None:
            values[f"{prefix}{key}"] = str(value)
    return values


def fault(settings: StageSettings, fault_type: str, context: Mapping[str, Any]) -> Answer:
    """Return what API Gateway answers to a fault: the gateway response deployed for it, or for all."""
    status, message = FAULTS[fault_type]
    family = "DEFAULT_4XX" if status < HTTPStatus.INTERNAL_SERVER_ERROR else "DEFAULT_5XX"
    responses = settings.gateway_responses
    chosen: Mapping[str, Any] = {}
    for name in (family, fault_type):
        known = responses.get(name)
        chosen = known if known and not known.get("defaultResponse") else chosen
    template = (chosen.get("responseTemplates") or {}).get("application/json") or (
        '{"message":$context.error.messageString}'
    )
    values = {
        "error.message": message,
        "error.messageString": json.dumps(message),
        "error.responseType": fault_type,
        "requestId": context["requestId"],
    }
    headers = {"Content-Type": "application/json"}
    for target, source in (chosen.get("responseParameters") or {}).items():
        headers[target.removeprefix("gatewayresponse.header.")] = source.strip("'")
    body = ERROR_VARIABLE.sub(lambda found: values[found[1]], template)
    return Answer(int(chosen.get("statusCode") or status), headers, body.encode())
