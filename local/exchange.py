"""One request on its way through the edge."""

import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from aiohttp import web
from multidict import CIMultiDict

from .domains import Place
from .gateway_responses import Answer, Caller, error_of, fault
from .metrics import Served
from .stage_cache import Visit
from .stages import StageSettings, method_key, route
from .standin.integration import (
    ARRIVAL_HEADER,
    CACHED_HEADER,
    DOMAIN_HEADER,
    FAULT_HEADER,
    LEARNED_HEADER,
)

HOP_BY_HOP = {
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "te", "trailer",
    "transfer-encoding",
    "upgrade", "host", "content-length",
}  # fmt: skip


@dataclass
class Exchange:
    """A request, where it goes, and what is known of it so far."""

    request: web.Request
    place: Place
    settings: StageSettings
    context: dict[str, Any]
    """``$context`` of API Gateway."""
    visit: Visit | None = None
    """Its visit to the stage's cache, where there was one."""
    passed: bool = False
    """Whether everything before the integration let it pass."""
    resource_path: str = field(init=False)

    def __post_init__(self) -> None:
        self.resource_path = route(self.settings.routes, self.place.decoded)
        self.context["resourcePath"] = self.resource_path

    @property
    def served(self) -> Served:
        """Where metrics count it."""
        method = self.request.method
        measured = method_key(self.resource_path, method) in self.settings.measured
        return Served(self.settings.api_name, self.place.target.stage, self.resource_path, method, measured)

    @property
    def cache_hit(self) -> bool | None:
        """Whether the cache answered; nothing where it was not asked."""
        return self.visit.kept is not None if self.visit and self.passed and not self.visit.refused else None

    def headers_inside(self) -> CIMultiDict[str]:
        """Return the headers with which it goes to the emulator."""
        spelled: dict[str, str] = {}
        # One name for each: of several spellings the client would send on the last one's value alone.
        given = CIMultiDict(
            # Bytes that are no ASCII go on as they came: the client would leave them out.
            (
                spelled.setdefault(key.lower(), key),
                value.encode(errors="surrogateescape").decode("latin-1"),
            )
            for key, value in self.request.headers.items()
            if passes(key)
        )
        given[DOMAIN_HEADER] = self.context["domainName"]
        given["X-Forwarded-For"] = self.context["identity"]["sourceIp"]
        given[ARRIVAL_HEADER] = json.dumps(self._arrival())
        if self.visit and not self.visit.needs_back_end:
            given[CACHED_HEADER] = "1"
        return given

    def _arrival(self) -> dict[str, Any]:
        """Return what the client called, which the emulator is called with in another way."""
        headers = self.request.headers
        names = ("extendedRequestId", "requestId", "requestTime", "requestTimeEpoch", "path", "protocol")
        domain = ("domainName", "domainPrefix", "identity")
        return {
            "context": {name: self.context[name] for name in (*names, *domain)},
            "host": self.request.host,
            "target": self.request.raw_path.partition("?")[0],
            "path": f"{self.place.base_path}{self.place.path}",
            # As they came: what reads them knows some in a spelling of its own.
            "names": [name.decode("latin-1") for name, _ in self.request.raw_headers],
            "forwarded": headers.getall("X-Forwarded-For", []),
        }

    def learn(self, seen: Mapping[str, Any], headers: Mapping[str, str]) -> None:
        """Put into the context what the stand-in saw, or the emulator where it refused.

        Args:
            seen: what the stand-in saw.
            headers: the emulator's, in which a fault may be named.
        """
        learned = seen or json.loads(headers.get(LEARNED_HEADER, "{}"))
        identity = {**self.context["identity"], **learned.get("identity", {})}
        self.context |= {**learned, "identity": identity}
        if not seen:
            self.context["requestId"] = headers.get("x-amzn-requestid", self.context["requestId"])
            return
        self.passed = FAULT_HEADER not in headers
        # The same by two names each ("Variables for access logging", API Gateway guide).
        self.context["integration"] = {
            "latency": seen.get("integrationLatency"),
            "status": seen.get("integrationStatus"),
        }

    def fault(self, fault_type: str, detail: Mapping[str, str] | None = None) -> Answer:
        """Return the gateway response to what is wrong with it."""
        self.context["error"] = error_of(fault_type, detail)
        caller = Caller(self.request.headers, self.request.query)
        return fault(self.settings, fault_type, self.context, detail, caller)


def first_context(request: web.Request, place: Place, arrived: float) -> dict[str, Any]:
    """Return ``$context`` as far as a request tells it."""
    uid = str(uuid.uuid4())
    host = request.host.partition(":")[0]
    return {
        "requestId": uid,
        "extendedRequestId": uid,
        "requestTime": datetime.fromtimestamp(arrived, UTC).strftime("%d/%b/%Y:%H:%M:%S +0000"),
        "requestTimeEpoch": int(arrived * 1000),
        "httpMethod": request.method,
        "path": place.shown,
        "protocol": "HTTP/1.1",
        "apiId": place.target.api,
        "stage": place.target.stage,
        "domainName": host,
        "domainPrefix": host.partition(".")[0],
        "identity": {"userAgent": request.headers.get("User-Agent")},
    }


def passes(header: str) -> bool:
    """Whether a header goes through the edge: none of a connection's, and none that only the edge may set."""
    lowered = header.lower()
    return lowered not in HOP_BY_HOP and not lowered.startswith("x-edge-") and lowered != "x-forwarded-for"
