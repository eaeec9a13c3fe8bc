"""Signed calls to the emulator without boto3, whose import every cold worker would wait for."""

import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

TIMEOUT_SECONDS = 29.0
"""The longest that API Gateway waits for an integration."""


@dataclass(frozen=True)
class Answer:
    """What a service answered."""

    status: int
    body: str


@dataclass(frozen=True)
class Caller:
    """Who calls which service."""

    credentials: Credentials
    service: str
    region: str
    headers: Mapping[str, str] = field(default_factory=dict)


def call(caller: Caller, method: str, url: str, body: str = "") -> Answer:
    """Send one signed request and return its answer, whatever its status."""
    data = body.encode()
    request = AWSRequest(method, url, headers=dict(caller.headers), data=data)
    SigV4Auth(caller.credentials, caller.service, caller.region).add_auth(request)
    prepared = request.prepare()
    outgoing = urllib.request.Request(  # noqa: S310 - the emulator's own address
        url, data=data or None, headers=dict(prepared.headers.items()), method=method
    )
    try:
        with urllib.request.urlopen(outgoing, timeout=TIMEOUT_SECONDS) as response:  # noqa: S310
            return Answer(response.status, response.read().decode())
    except urllib.error.HTTPError as error:
        return Answer(error.code, error.read().decode())
