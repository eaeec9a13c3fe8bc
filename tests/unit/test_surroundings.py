"""What a local run makes for a stack's settings, as far as it needs no local AWS."""

import io
import json
import zipfile
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import jwt
import pytest

from local.aws import Aws
from local.callers import Callers
from local.program import Config
from local.surroundings import AUTHORIZER_KEY, PROXY_KEY, Surroundings, with_token, zipped
from sluice import tokens

NOBODY = Callers()


@pytest.fixture
def surroundings() -> Iterator[Surroundings]:
    with ExitStack() as ending:
        yield Surroundings(Aws("http://127.0.0.1:1"), ending)


def authorizer(**given: Any) -> Config:
    return {AUTHORIZER_KEY: json.dumps(given), "other": "kept"}


def settings(config: Config, key: str = AUTHORIZER_KEY) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(config[key])
    return found


def test_a_stack_that_wants_a_token_gets_one_of_its_own(surroundings: Surroundings) -> None:
    config, callers = surroundings.prepare(authorizer(kind="token"))

    assert callers.token
    assert settings(config)["tokens"] == [{"name": "local", "sha256": tokens.digest(callers.token)}]
    assert config["other"] == "kept"
    assert callers.token not in str(config)
    assert callers.shown == {"Authorization": f"Bearer {callers.token}"}


@pytest.mark.parametrize("name", ["ann", "local"])
def test_a_token_that_is_set_stays_known(name: str) -> None:
    known = [{"name": name, "sha256": "d"}]
    given = authorizer(kind="token", tokens=known)

    config, token = with_token(given)

    assert settings(config)["tokens"] == [*known, {"name": "local", "sha256": tokens.digest(token or "")}]
    assert settings(given)["tokens"] == known, "what was given is not to be changed"


@pytest.mark.parametrize(
    "section",
    [
        '{"kind": "none"}',
        "{}",
        "{not json",
        "5",
        "[]",
        '"token"',
        '{"kind": ["token"]}',
        '{"kind": "token", "tokens": {"ann": "d"}}',
        '{"kind": "jwt", "issuer": "http://127.0.0.1:80/mine"}',
        '{"kind": "jwt", "issuer": "https://a", "jwks_uri": "http://127.0.0.1:80/keys"}',
    ],
)
def test_any_other_stack_is_left_to_the_programs_own_checks(surroundings: Surroundings, section: str) -> None:
    given = {AUTHORIZER_KEY: section}

    config, callers = surroundings.prepare(given)

    assert (config, callers) == (given, NOBODY)


def test_a_stack_without_settings_is_left_alone(surroundings: Surroundings) -> None:
    assert surroundings.prepare({}) == ({}, NOBODY)
    assert with_token({}) == ({}, None)


def test_an_issuer_stands_in_for_the_one_that_is_named(surroundings: Surroundings) -> None:
    given = authorizer(
        kind="jwt", issuer="https://a", audiences=["orders", "b"], scopes=["c", "d"], algorithms=["ES256"]
    )

    config, callers = surroundings.prepare(given)

    assert callers.issuer
    assert callers.token
    changed = settings(config)
    assert changed == {**settings(given), "issuer": callers.issuer.url}
    assert jwt.get_unverified_header(callers.token)["alg"] == "ES256"
    claims = jwt.decode(callers.token, options={"verify_signature": False})
    assert (claims["iss"], claims["aud"], claims["scope"]) == (callers.issuer.url, "orders", "c d")


def test_an_issuer_s_keys_are_where_they_are_looked_for(surroundings: Surroundings) -> None:
    config, callers = surroundings.prepare(authorizer(kind="jwt", jwks_uri="https://a/keys"))

    assert callers.issuer
    assert settings(config) == {
        "kind": "jwt",
        "audiences": ["local"],
        "issuer": callers.issuer.url,
        "jwks_uri": callers.issuer.jwks_uri,
    }


@pytest.mark.parametrize("wrong", [{"audiences": "orders"}, {"algorithms": [5]}, {"scopes": {"a": 1}}])
def test_what_an_issuer_s_settings_say_wrongly_is_left_as_it_is(
    surroundings: Surroundings, wrong: dict[str, Any]
) -> None:
    config, _ = surroundings.prepare(authorizer(kind="jwt", **wrong))

    assert settings(config).items() >= wrong.items()


def test_a_proxy_without_a_secret_gets_one(surroundings: Surroundings) -> None:
    given = {PROXY_KEY: '{"address_header": "X-Client-Ip"}', **authorizer(kind="token")}

    config, callers = surroundings.prepare(given)

    assert callers.proxy
    assert len(callers.proxy.secret) >= 32
    assert settings(config, PROXY_KEY)["secrets"] == [callers.proxy.secret]
    assert callers.shown == {
        "Authorization": f"Bearer {callers.token}",
        "X-Client-Ip": "192.0.2.1",
        "X-Origin-Secret": callers.proxy.secret,
    }


def test_a_proxy_s_own_secret_stays(surroundings: Surroundings) -> None:
    given = {"address_header": "X-Ip", "secret_header": "X-Shown", "secrets": ["new", "old"]}

    config, callers = surroundings.prepare({PROXY_KEY: json.dumps(given)})

    assert settings(config, PROXY_KEY) == given
    assert callers.proxy
    assert callers.proxy.headers("192.0.2.9") == {"X-Ip": "192.0.2.9", "X-Shown": "new"}


@pytest.mark.parametrize(
    "section",
    ["{}", '{"address_header": 5}', '{"address_header": "X-Ip", "secrets": "s"}', "{not json"],
)
def test_a_proxy_that_is_set_wrongly_is_left_to_the_programs_own_checks(
    surroundings: Surroundings, section: str
) -> None:
    config, callers = surroundings.prepare({PROXY_KEY: section})

    assert callers.proxy is None
    assert config == {PROXY_KEY: section}


def test_a_function_s_archive_holds_the_folder_s_python(tmp_path: Path) -> None:
    (tmp_path / "inner").mkdir()
    for name in ("a.py", "inner/b.py", "notes.txt"):
        (tmp_path / name).write_text(name)

    with zipfile.ZipFile(io.BytesIO(zipped(tmp_path))) as archive:
        assert archive.namelist() == ["a.py", "inner/b.py"]
