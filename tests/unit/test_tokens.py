import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import tokens


def test_a_minted_token_has_the_one_form_that_is_let_through() -> None:
    assert re.fullmatch(tokens.BEARER, f"Bearer {tokens.mint()}")


def test_no_two_tokens_are_the_same() -> None:
    assert len({tokens.mint() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sluice_short",
        f"bearer sluice_{'a' * 43}",
        f"Bearer  sluice_{'a' * 43}",
        f"Bearer sluice_{'a' * 44}",
        f"Bearer sluice_{'a' * 42}=",
        f"Bearer other_{'a' * 43}",
        f"Bearer sluice_{'é' * 43}",
        f"Bearer sluice_{'a' * 43}\n",
        f"Basic sluice_{'a' * 43}",
        "",
    ],
)
def test_no_other_header_has_that_form(header: str) -> None:
    assert not re.fullmatch(tokens.BEARER, header)


@given(st.text())
def test_a_digest_is_the_sha256_of_the_token(token: str) -> None:
    found = tokens.digest(token)
    assert found == hashlib.sha256(token.encode()).hexdigest()
    assert tokens.DIGEST.fullmatch(found)


@pytest.mark.parametrize("text", ["a" * 63, "a" * 65, "A" * 64, "g" * 64, "a" * 64 + "\n", ""])
def test_what_is_no_digest_is_not_taken_for_one(text: str) -> None:
    assert not tokens.DIGEST.fullmatch(text)


@pytest.mark.parametrize("name", ["a", "7", "ci-runner", "a_b", "a" * 32, "1-2_3"])
def test_a_name_is_lower_case_and_at_most_32_long(name: str) -> None:
    assert tokens.NAME.fullmatch(name)


@pytest.mark.parametrize(
    "name", ["", "A", "-", "-a", "a-", "_a", "a_", "a b", "a.b", 'a"b', "é", "a" * 65, "a\n"]
)
def test_what_is_no_name_is_not_taken_for_one(name: str) -> None:
    assert not tokens.NAME.fullmatch(name)


def test_the_owner_of_a_token_is_found_by_its_digest() -> None:
    known = {"ann": tokens.digest("one"), "bob": tokens.digest("two")}
    assert tokens.owner("two", known) == "bob"


@given(st.text())
def test_an_unknown_token_has_no_owner(token: str) -> None:
    assert tokens.owner(token, {"ann": tokens.digest(tokens.mint())}) is None


def test_a_digest_is_not_taken_as_a_token() -> None:
    digest = tokens.digest("one")
    assert tokens.owner(digest, {"ann": digest}) is None


@pytest.mark.parametrize("presented", ["first", "last", "nobody's"])
def test_every_digest_is_compared_in_constant_time(presented: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    constant_time = hmac.compare_digest

    def recording(one: str, other: str) -> bool:
        compared.append((one, other))
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recording)
    known = {name: tokens.digest(name) for name in ("first", "middle", "last")}
    tokens.owner(presented, known)
    # A search that ends at the first match would tell by its length where the match is.
    assert compared == [(tokens.digest(presented), digest) for digest in known.values()]


def test_no_digest_is_compared_by_a_plain_operator() -> None:
    class Opaque(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared with ==")

        __hash__ = str.__hash__

    digest = tokens.digest("one")
    assert tokens.owner("one", {"ann": Opaque(digest)}) == "ann"
