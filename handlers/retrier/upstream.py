"""Calls an upstream over HTTP, with connections that are kept from one invocation to the next."""

import math
import socket
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from sluice.retrier import targets
from sluice.retrier.rules import Rules
from sluice.retrier.targets import ForbiddenTargetError, Network, Target

from .redirects import REDIRECTS, followed
from .wire import Answer, Failure, Request, Trouble

LARGEST_BODY = 150 * 1024
"""Bytes of an answer's body. As Base64 in JSON, with what is beside it, a state machine can carry it."""
CHUNK = 64 * 1024
USER_AGENT = "sluice-retrier"

Admit = Callable[[Target, int], Awaitable[None]]
"""What is asked before a redirect is followed: where to, and with which status."""


class ResponseTooLargeError(Exception):
    """An answer is larger than a state machine can carry."""

    def __init__(self, answer: Answer) -> None:
        """Keep the answer, without its body."""
        self.answer = answer
        super().__init__(
            f"the upstream's answer {answer.status} has more than {LARGEST_BODY} bytes, "
            "which is all that is carried back"
        )


class UntrustedUpstreamError(Exception):
    """An upstream shows no certificate that can be trusted for its name."""

    def __init__(self, target: Target) -> None:
        """Say whose it is."""
        super().__init__(f"the certificate of {target.host} is not trusted")


class BrokenConnectionError(aiohttp.ClientError):
    """A connection broke before an answer had begun."""


async def only_once(
    request: aiohttp.ClientRequest, handle: aiohttp.ClientHandlerType
) -> aiohttp.ClientResponse:
    """Send a request once: aiohttp would send some a second time by itself, outside of every budget."""
    try:
        return await handle(request)
    except aiohttp.ClientConnectorError:
        raise
    except (aiohttp.ClientOSError, aiohttp.ServerDisconnectedError) as error:
        raise BrokenConnectionError(type(error).__name__) from error


class JudgedResolver(AbstractResolver):
    """Resolves names to those of their addresses that may be connected to."""

    def __init__(self, private: Sequence[Network]) -> None:
        self._private = private
        self._resolver = ThreadedResolver()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return a name's addresses.

        Raises:
            ForbiddenTargetError: if it has some, and none may be connected to.
        """
        found = await self._resolver.resolve(host, port, family)
        allowed = [each for each in found if targets.may_connect(each["host"], self._private)]
        if found and not allowed:
            raise ForbiddenTargetError(f"{host} has no address that may be connected to")
        return allowed

    async def close(self) -> None:
        """Keep nothing."""


class Client:
    """Sends requests. Its connections belong to the event loop in which it is first used."""

    def __init__(self, rules: Rules) -> None:
        """Say whom it may call."""
        self._rules = rules
        self._private = targets.networks(rules.private_networks)
        self._session: aiohttp.ClientSession | None = None

    async def send(
        self, request: Request, timeout_seconds: float, admit: Admit | None = None
    ) -> Answer | Failure:
        """Send a request, follow where it is redirected to, and return the last answer.

        Args:
            request: what to send.
            timeout_seconds: for all of it, from the name's look-up to the last byte.
            admit: asked before each redirect is followed; what it raises is raised.

        Raises:
            ForbiddenTargetError: if an address or a redirect may not be called.
            ResponseTooLargeError: if the body is larger than ``LARGEST_BODY``.
            TooManyRedirectsError: after ``MOST_REDIRECTS``, or in a circle.
            UntrustedUpstreamError: if a certificate is not trusted.
        """
        deadline = time.monotonic() + timeout_seconds
        while True:
            answer = await self._exchange(request, deadline - time.monotonic())
            location = answer.headers.get("location") if isinstance(answer, Answer) else None
            if isinstance(answer, Failure) or location is None or answer.status not in REDIRECTS:
                return answer
            request = followed(request, answer.status, location, self._rules)
            if admit is not None:
                await admit(request.target, answer.status)

    async def close(self) -> None:
        """Close all connections."""
        if self._session is not None:
            await self._session.close()

    async def _exchange(self, request: Request, seconds: float) -> Answer | Failure:
        origin = request.target.origin
        try:
            async with self._opened().request(
                request.method,
                URL(request.target.url, encoded=True),
                headers=request.headers,
                data=request.body,
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=max(seconds, 0.001), ceil_threshold=math.inf),
            ) as response:
                answer = Answer(response.status, _joined(response), b"", origin)
                return replace(answer, body=await _read(response, answer))
        except TimeoutError:
            return Failure(Trouble.TIMEOUT, f"{seconds:.1f} s", origin)
        except aiohttp.ClientSSLError as error:
            if isinstance(error, aiohttp.ClientConnectorCertificateError):
                raise UntrustedUpstreamError(request.target) from None
            return Failure(Trouble.CONNECTION, type(error).__name__, origin)
        except BrokenConnectionError as error:
            return Failure(Trouble.CONNECTION, str(error), origin)
        except (aiohttp.ClientError, OSError) as error:
            return Failure(Trouble.CONNECTION, type(error).__name__, origin)

    def _opened(self) -> aiohttp.ClientSession:
        if self._session is None:
            connector = aiohttp.TCPConnector(
                resolver=JudgedResolver(self._private), socket_factory=self._socket, limit=0, ttl_dns_cache=10
            )
            self._session = aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                middlewares=(only_once,),
                headers={"User-Agent": USER_AGENT},
                skip_auto_headers=("Content-Type",),
                trust_env=False,
                requote_redirect_url=False,
            )
        return self._session

    def _socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        """Make the socket for one address: the very one that is connected to, of a name or as it is."""
        family, kind, protocol, _, where = address
        host = str(where[0])
        if not targets.may_connect(host, self._private):
            raise ForbiddenTargetError(f"{host} is no address that may be connected to")
        return socket.socket(family, kind, protocol)


async def _read(response: aiohttp.ClientResponse, answer: Answer) -> bytes:
    """Return a body as it is once it is decompressed, and never hold much more of it than is allowed."""
    parts: list[bytes] = []
    size = 0
    async for part in response.content.iter_chunked(CHUNK):
        size += len(part)
        if size > LARGEST_BODY:
            raise ResponseTooLargeError(answer)
        parts.append(part)
    return b"".join(parts)


def _carried(value: str) -> str:
    """Return a header's value as JSON can hold it: what was no UTF-8 came in surrogates."""
    return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")


def _joined(response: aiohttp.ClientResponse) -> dict[str, str]:
    joined: dict[str, str] = {}
    for name, value in response.headers.items():
        key, text = name.lower(), _carried(value)
        joined[key] = f"{joined[key]}, {text}" if key in joined else text
    return joined
