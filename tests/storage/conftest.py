from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING

import pytest

from local.emulator import ACCESS_KEY, Emulator
from local.say import Say

from . import backends
from .backends import Storage
from .dynamodb_local import dynamodb_local, java_missing

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient


@pytest.fixture(scope="session")
def needs_java() -> None:
    """Skip what starts a DynamoDB Local where that cannot be; in CI, let it fail."""
    if java_missing():
        pytest.skip("DynamoDB Local needs a JDK and Maven.")


@pytest.fixture(scope="session")
def dynamodb_local_url(needs_java: None) -> Iterator[str]:
    """The URL of a DynamoDB Local for the whole run: choose table names or an access key of your own."""
    with dynamodb_local() as url:
        yield url


@pytest.fixture(scope="session")
def emulator_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with Emulator(tmp_path_factory.mktemp("emulator"), Say(quiet=True)) as emulator:
        yield emulator.endpoint


@pytest.fixture(scope="session", params=backends.KINDS)
def any_client(request: pytest.FixtureRequest) -> Iterator["DynamoDBClient | None"]:
    """A client of each kind of DynamoDB, and none for the memory."""
    if request.param == "memory":
        yield None
        return
    url: str = request.getfixturevalue(f"{request.param}_url")
    with closing(backends.client_of(url, ACCESS_KEY)) as client:
        yield client


@pytest.fixture
def storage(any_client: "DynamoDBClient | None") -> Iterator[Storage]:
    """Empty storage of each kind."""
    if any_client is None:
        yield backends.memory()
        return
    with backends.tables(any_client) as found:
        yield found
