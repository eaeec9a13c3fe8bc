"""What callers of a stack show: tokens, signatures, and what a proxy adds. All of it is made for one run."""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from .emulator import REGION
from .issuer import Issuer
from .upstreams import Upstream

SERVICE = "execute-api"
CLIENT = "192.0.2.1"
"""Where a proxy says that its client is, if nobody asks for another address."""


@dataclass(frozen=True)
class Proxy:
    """A proxy in front of the API."""

    address_header: str
    secret_header: str
    secret: str = field(repr=False)

    def headers(self, address: str = CLIENT) -> dict[str, str]:
        """Return the headers with which it sends on what came from a client."""
        return {self.address_header: address, self.secret_header: self.secret}


@dataclass(frozen=True)
class Tenant:
    """A tenant that the example of a function knows (examples/tenants)."""

    name: str
    key: str = field(repr=False)

    def headers(self) -> dict[str, str]:
        """Return the headers that it shows."""
        return {"X-Tenant": self.name, "X-Tenant-Key": self.key}


@dataclass(frozen=True)
class PoolUser:
    """A user of a user pool."""

    pool_arn: str
    name: str
    sub: str
    id_token: str = field(repr=False)
    access_token: str = field(repr=False)


@dataclass(frozen=True)
class IamUser:
    """A user of IAM's with a key."""

    name: str
    arn: str
    credentials: Credentials = field(repr=False)

    def sign(
        self,
        method: str,
        url: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        *,
        service: str = SERVICE,
    ) -> dict[str, str]:
        """Return the headers of a request, signed for API Gateway or for another service."""
        return signed(self.credentials, method, url, body, headers, service=service)


def signed(  # noqa: PLR0913 - a request, who signs it and for which service
    credentials: Credentials,
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    service: str = SERVICE,
) -> dict[str, str]:
    """Return the headers of a request, signed for a service (Signature Version 4)."""
    given = {"Host": urlsplit(url).netloc, **(headers or {})}
    request = AWSRequest(method, url, headers=given, data=body or b"")
    SigV4Auth(credentials, service, REGION).add_auth(request)
    return {name: str(value) for name, value in request.headers.items()}


@dataclass(frozen=True)
class Callers:
    """What lets callers of a stack in, by the kind of its authorizer."""

    token: str | None = field(default=None, repr=False)
    """A bearer token that works: minted, of the issuer, or of the user pool's."""
    issuer: Issuer | None = None
    """Of kind jwt."""
    user: PoolUser | None = None
    """Of kind cognito."""
    permitted: IamUser | None = None
    """Of kind iam: one who may call."""
    stranger: IamUser | None = None
    """Of kind iam: one of the same account who may not."""
    tenant: Tenant | None = None
    """Of kind function, where the function is the example."""
    proxy: Proxy | None = None
    """Where the stack has one in front of it."""
    upstream: Upstream | None = None
    """Where the stack has a retrier, whose placeholder it stands for."""
    calling: IamUser | None = None
    """Who may have calls made by that retrier."""

    @property
    def shown(self) -> dict[str, str]:
        """The headers of a request that is let in, unless it has to be signed as well."""
        bearer = {"Authorization": f"Bearer {self.token}"} if self.token else {}
        others = [each.headers() for each in (self.tenant, self.proxy) if each]
        return dict(ChainMap(bearer, *others))

    def headers(self, method: str, url: str, body: bytes | None = None) -> dict[str, str]:
        """Return the headers of a request that is let in."""
        return self.permitted.sign(method, url, body, self.shown) if self.permitted else self.shown
