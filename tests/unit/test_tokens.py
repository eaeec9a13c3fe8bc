import hashlib
import hmac
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice import tokens
from sluice.tokens import Token

ONE, TWO = Token("ann", tokens.digest("one")), Token("bob", tokens.digest("two"))


@pytest.mark.parametrize("scheme", ["Bearer", "bearer"])
def test_a_minted_token_has_the_one_form_that_is_let_through(scheme: str) -> None:
    assert re.fullmatch(tokens.BEARER, f"{scheme} {tokens.mint()}")


def test_no_two_tokens_are_the_same() -> None:
    assert len({tokens.mint() for _ in range(100)}) == 100


@pytest.mark.parametrize(
    "header",
    [
        "Bearer sluice_short",
        f"BEARER sluice_{'a' * 43}",
        f"sluice_{'a' * 43}",
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


@given(st.text(st.characters(categories=["Cs"]), min_size=1))
def test_what_no_encoding_can_hold_has_a_digest_too(text: str) -> None:
    assert tokens.DIGEST.fullmatch(tokens.digest(text))


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


def test_a_known_token_is_found_by_its_digest() -> None:
    assert tokens.find("one", [ONE, TWO]) is ONE
    assert tokens.find("two", iter([ONE, TWO])) is TWO


def test_two_tokens_of_one_name_are_told_apart() -> None:
    ends = Token("ann", tokens.digest("old"), 1_750_000_000)
    assert tokens.find("old", [ONE, ends]) is ends
    assert tokens.find("one", [ONE, ends]) is ONE


@given(st.text())
def test_an_unknown_token_is_none_of_them(token: str) -> None:
    assert tokens.find(token, [Token("ann", tokens.digest(tokens.mint()))]) is None


def test_where_no_token_is_known_none_is_found() -> None:
    assert tokens.find("one", []) is None


def test_a_digest_is_not_taken_as_a_token() -> None:
    assert tokens.find(ONE.sha256, [ONE]) is None


@pytest.mark.parametrize("presented", ["first", "last", "nobody's"])
def test_every_digest_is_compared_in_constant_time(presented: str, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    constant_time = hmac.compare_digest

    def recording(one: str, other: str) -> bool:
        compared.append((one, other))
        return constant_time(one, other)

    monkeypatch.setattr(hmac, "compare_digest", recording)
    known = [Token(name, tokens.digest(name)) for name in ("first", "middle", "last")]
    tokens.find(presented, known)
    # A search that ends at the first match would tell by its length where the match is.
    assert compared == [(tokens.digest(presented), each.sha256) for each in known]


def test_no_digest_is_compared_by_a_plain_operator() -> None:
    class Opaque(str):
        __slots__ = ()

        def __eq__(self, other: object) -> bool:
            raise AssertionError("compared with ==")

        __hash__ = str.__hash__

    known = Token("ann", Opaque(tokens.digest("one")))
    assert tokens.find("one", [known]) is known
