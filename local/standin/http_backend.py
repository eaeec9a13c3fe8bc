"""A back end over HTTP as API Gateway calls it: only what is mapped is sent, and no redirect is followed."""

import http.client
import socket
import ssl
import time
import urllib.parse
from collections.abc import Mapping
from dataclasses import dataclass

from .mappings import ConfigurationError

LOOPBACK = {"127.0.0.1", "::1", "localhost"}
CHUNK = 65_536


@dataclass(frozen=True)
class Parts:
    """What of a request goes to the back end, under the back end's names."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    headers: Mapping[str, str]


@dataclass(frozen=True)
class Reply:
    """What the back end answered."""

    status: int
    body: str
    headers: Mapping[str, str]


def url_of(uri: str, parts: Parts) -> str:
    """Return the URL for a request: each value encoded, so that it stays where it was mapped to.

    Raises:
        ConfigurationError: if a variable has no value, or the back end may not be called from here.
    """
    _check(uri)
    for name, value in parts.path.items():
        uri = uri.replace(f"{{{name}}}", urllib.parse.quote(value, safe=""))
    if "{" in uri:
        raise ConfigurationError(f"a variable of {uri} has no value")
    if not parts.query:
        return uri
    query = urllib.parse.urlencode(parts.query, quote_via=urllib.parse.quote)
    return f"{uri}{'&' if '?' in uri else '?'}{query}"


def _check(uri: str) -> None:
    """Refuse what API Gateway could not call either, and plain HTTP to other machines."""
    where = urllib.parse.urlsplit(uri)
    if where.scheme == "https" and where.hostname:
        return
    if where.scheme != "http" or where.hostname not in LOOPBACK:
        raise ConfigurationError(
            f"the local AWS calls back ends over https, or over http on loopback, not {uri}"
        )


def get(url: str, headers: Mapping[str, str], seconds: float) -> Reply:
    """Ask the back end and return its answer, whatever its status.

    Raises:
        TimeoutError: if it has not answered completely in time.
        OSError: if it cannot be reached.
        http.client.HTTPException: if what it answers is no HTTP.
    """
    deadline = time.monotonic() + seconds
    where = urllib.parse.urlsplit(url)
    connection = _connection(where, seconds)
    target = f"{where.path or '/'}{f'?{where.query}' if where.query else ''}"
    try:
        connection.connect()
        # The connection lets go of its socket when the back end closes it.
        taken = connection.sock
        connection.request("GET", target, headers={name: value.encode() for name, value in headers.items()})
        taken.settimeout(_until(deadline))
        response = connection.getresponse()
        content = _content(response, taken, deadline)
        return Reply(response.status, content.decode(errors="replace"), _joined(response))
    except ValueError as error:
        raise OSError(f"the back end cannot be sent this: {error}") from error
    finally:
        connection.close()


def _content(response: http.client.HTTPResponse, taken: socket.socket, deadline: float) -> bytes:
    """Return the whole body; one that comes drop by drop is given up in time."""
    content = bytearray()
    while True:
        taken.settimeout(_until(deadline))
        chunk = response.read1(CHUNK)
        content += chunk
        if not chunk:
            break
    # Read by pieces, a body that breaks off is no error of its own.
    if response.length:
        raise http.client.IncompleteRead(bytes(content), response.length)
    return bytes(content)


def _until(deadline: float) -> float:
    """Return the seconds that are left."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError("the back end has not answered in time")
    return left


def _connection(where: urllib.parse.SplitResult, seconds: float) -> http.client.HTTPConnection:
    host = str(where.hostname)
    if where.scheme == "https":
        return http.client.HTTPSConnection(
            host, where.port, timeout=seconds, context=ssl.create_default_context()
        )
    return http.client.HTTPConnection(host, where.port, timeout=seconds)


def _joined(response: http.client.HTTPResponse) -> dict[str, str]:
    """Return the headers of an answer, those of one name as one."""
    joined: dict[str, str] = {}
    for name, value in response.getheaders():
        known = joined.get(name.lower())
        joined[name.lower()] = value if known is None else f"{known}, {value}"
    return joined
