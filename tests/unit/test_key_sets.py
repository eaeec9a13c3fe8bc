import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed448, rsa
from cryptography.x509.oid import NameOID
from hypothesis import given
from hypothesis import strategies as st

from handlers import key_sets
from handlers.authorizing import RefusedError, SettingsError
from handlers.key_sets import DISCOVERY, LARGEST_ANSWER, REFRESH_SECONDS, RETRY_SECONDS, FetchError

from .issuing import ISSUER, KEYS_URL, MAX_AGE, Issuer, key, renamed

ALGORITHMS = ("RS256", "ES256", "EdDSA")
UNKNOWN = "a-key-that-nobody-has"


def refused(issuer: Issuer, known: key_sets.Keys, key_id: object = UNKNOWN) -> int:
    """Ask for a key that there is not, and return how often the issuer was asked for it."""
    before = len(issuer.asked)
    with pytest.raises(RefusedError, match=r"^unknown key$"):
        known.find(key_id, "RS256")
    return len(issuer.asked) - before


def test_nothing_is_asked_for_before_it_is_needed() -> None:
    issuer = Issuer(key())
    issuer.known()
    assert issuer.asked == []


def test_keys_are_asked_for_once_and_found_by_their_ids() -> None:
    issuer = Issuer(key("one"), key("two"), key("three", "ES256"))
    known = issuer.known()
    for _ in range(3):
        assert known.find("one", "RS256").key == key("one").private.public_key()
        assert known.find("two", "RS256").key == key("two").private.public_key()
        assert known.find("three", "ES256").key == key("three", "ES256").private.public_key()
    assert issuer.asked == [KEYS_URL]


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_key_is_good_for_its_own_algorithm_alone(algorithm: str) -> None:
    known = Issuer(key("one", algorithm)).known()
    assert known.find("one", algorithm).algorithm_name == algorithm
    for other in {*ALGORITHMS, "HS256", "none"} - {algorithm}:
        with pytest.raises(RefusedError, match=r"^unknown key$"):
            known.find("one", other)


def test_keys_of_several_algorithms_may_have_the_same_id() -> None:
    known = Issuer(*(renamed(key(each, each), "same") for each in ALGORITHMS)).known()
    for each in ALGORITHMS:
        assert known.find("same", each).key == key(each, each).private.public_key()


def test_of_two_keys_with_one_id_the_first_is_meant() -> None:
    known = Issuer(renamed(key("one"), "same"), renamed(key("two"), "same")).known()
    assert known.find("same", "RS256").key == key("one").private.public_key()


def test_a_token_may_name_no_key_where_there_is_one_for_its_algorithm() -> None:
    known = Issuer(key("one"), key("three", "ES256")).known()
    assert known.find(None, "RS256").key == key("one").private.public_key()
    assert known.find(None, "ES256").key == key("three", "ES256").private.public_key()


def test_a_token_has_to_name_its_key_where_there_are_several() -> None:
    known = Issuer(key("one"), key("two")).known()
    with pytest.raises(RefusedError, match=r"^unknown key$"):
        known.find(None, "RS256")


@pytest.mark.parametrize("key_id", ["", "ONE", "one ", "one\0", "on", "../one", 1, True, [], ["one"], {}])
def test_an_id_is_the_whole_id(key_id: object) -> None:
    issuer = Issuer(key("one"))
    assert refused(issuer, issuer.known(), key_id) == 1


def test_a_key_without_an_id_is_found_by_no_id() -> None:
    nameless = {name: value for name, value in key("one").public().items() if name != "kid"}
    known = Issuer(nameless).known()
    assert known.find(None, "RS256").key == key("one").private.public_key()
    with pytest.raises(RefusedError):
        known.find("one", "RS256")


def test_after_half_their_age_keys_are_asked_for_again() -> None:
    issuer = Issuer(key())
    known = issuer.known()
    known.find("one", "RS256")
    for seconds, asked in ((MAX_AGE / 2 - 0.5, 1), (0.5, 2), (MAX_AGE / 2 - 0.5, 2), (0.5, 3)):
        issuer.clock.now += seconds
        known.find("one", "RS256")
        assert len(issuer.asked) == asked
    assert issuer.troubles == []


def test_a_new_key_is_good_and_the_old_one_is_not_after_the_next_look() -> None:
    issuer = Issuer(key("one"))
    known = issuer.known()
    known.find("one", "RS256")
    issuer.publish(key("two"))
    issuer.clock.now += MAX_AGE / 2
    assert known.find("two", "RS256").key == key("two").private.public_key()
    assert refused(issuer, known, "one") == 0


def test_a_key_that_is_not_known_yet_is_looked_for_at_once() -> None:
    issuer = Issuer(key("one"))
    known = issuer.known()
    known.find("one", "RS256")
    issuer.publish(key("one"), key("two"))
    issuer.clock.now += REFRESH_SECONDS
    assert known.find("two", "RS256").key == key("two").private.public_key()
    assert known.find("one", "RS256").key == key("one").private.public_key()
    assert len(issuer.asked) == 2


def test_a_storm_of_unknown_keys_asks_once_in_a_while() -> None:
    issuer = Issuer(key("one"))
    known = issuer.known()
    known.find("one", "RS256")
    asked = 0
    for second in range(3 * REFRESH_SECONDS):
        asked += sum(refused(issuer, known, f"{second}-{number}") for number in range(20))
        issuer.clock.now += 1
    assert asked == 2, "after the first time and after the second half minute"
    assert sum(refused(issuer, known, each) for each in ("a", "b", "c")) == 1
    assert known.find("one", "RS256")


def test_a_storm_before_there_are_keys_asks_once() -> None:
    issuer = Issuer(key("one"))
    known = issuer.known()
    assert sum(refused(issuer, known, str(each)) for each in range(50)) == 1


def test_an_issuer_that_is_down_is_left_alone_for_a_while_whatever_keys_are_named() -> None:
    issuer = Issuer(key("one"))
    known = issuer.known()
    known.find("one", "RS256")
    issuer.down = True
    issuer.clock.now += REFRESH_SECONDS
    asked = len(issuer.asked)
    for _ in range(2 * REFRESH_SECONDS):
        for _ in range(20):
            with pytest.raises(SettingsError):
                known.find(UNKNOWN, "RS256")
        issuer.clock.now += 1
    assert len(issuer.asked) - asked == 2
    assert known.find("one", "RS256"), "the known key is as good as it was"


def test_a_key_that_may_be_a_new_one_is_not_refused_while_the_issuer_cannot_be_asked() -> None:
    # A refusal would be kept, and the caller is not to blame.
    issuer = Issuer(key("one"))
    known = issuer.known()
    known.find("one", "RS256")
    issuer.publish(key("one"), key("two"))
    issuer.down = True
    issuer.clock.now += REFRESH_SECONDS
    with pytest.raises(SettingsError, match="cannot be had: it is down"):
        known.find("two", "RS256")
    issuer.down = False
    issuer.clock.now += REFRESH_SECONDS - 0.5
    with pytest.raises(SettingsError, match="could not be asked for a moment ago"):
        known.find("two", "RS256")
    issuer.clock.now += 0.5
    assert known.find("two", "RS256").key == key("two").private.public_key()
    assert refused(issuer, known) == 0, "now that it was asked, there is none"


def test_known_keys_are_good_for_their_age_while_the_issuer_is_down_and_somebody_is_told() -> None:
    issuer = Issuer(key())
    known = issuer.known()
    known.find("one", "RS256")
    issuer.down = True
    issuer.clock.now += MAX_AGE / 2 - 1
    known.find("one", "RS256")
    assert issuer.troubles == [], "nobody asked"
    for seconds in (1, 100, MAX_AGE / 2 - 100.5):
        issuer.clock.now += seconds
        for _ in range(5):
            known.find("one", "RS256")
    assert issuer.troubles == ["the issuer's keys cannot be had: it is down"] * 3
    issuer.clock.now += 0.5
    with pytest.raises(SettingsError):
        known.find("one", "RS256")


def test_after_their_age_no_key_is_good_until_the_issuer_answers() -> None:
    issuer = Issuer(key())
    known = issuer.known()
    known.find("one", "RS256")
    issuer.down = True
    issuer.clock.now += MAX_AGE
    with pytest.raises(SettingsError, match="cannot be had: it is down"):
        known.find("one", "RS256")
    asked = len(issuer.asked)
    issuer.clock.now += RETRY_SECONDS - 0.5
    with pytest.raises(SettingsError, match="a moment ago"):
        known.find("one", "RS256")
    assert len(issuer.asked) == asked, "it is given a pause"
    issuer.down = False
    issuer.clock.now += 0.5
    assert known.find("one", "RS256")
    assert issuer.troubles == [], "it was raised"


def test_an_issuer_that_was_never_reached_is_asked_again_after_a_pause() -> None:
    issuer = Issuer(key())
    issuer.down = True
    known = issuer.known()
    asked = []
    for _ in range(2 * RETRY_SECONDS):
        with pytest.raises(SettingsError):
            known.find(UNKNOWN, "RS256")
        asked.append(len(issuer.asked))
        issuer.clock.now += 1
    assert asked == [1] * RETRY_SECONDS + [2] * RETRY_SECONDS
    issuer.down = False
    assert known.find("one", "RS256")


@pytest.mark.parametrize(
    "keys", [(), ({"kty": "oct", "k": "c2VjcmV0", "kid": "one"},)], ids=["none", "no public one"]
)
def test_an_issuer_without_a_key_lets_nobody_in(keys: Sequence[Mapping[str, Any]]) -> None:
    with pytest.raises(SettingsError, match="no key that can be used"):
        Issuer(*keys).known().find(None, "RS256")


@pytest.mark.parametrize("seconds", [REFRESH_SECONDS, MAX_AGE / 2])
def test_an_issuer_that_tells_no_key_any_more_takes_none_away_before_its_time(seconds: float) -> None:
    issuer = Issuer(key())
    known = issuer.known()
    known.find("one", "RS256")
    issuer.publish()
    issuer.clock.now += seconds
    with pytest.raises(SettingsError):
        known.find(UNKNOWN, "RS256")
    assert len(issuer.asked) == 2
    assert known.find("one", "RS256").key == key("one").private.public_key()
    issuer.clock.now += MAX_AGE
    with pytest.raises(SettingsError, match="no key that can be used"):
        known.find("one", "RS256")


@pytest.mark.parametrize("seconds", [-1, -MAX_AGE, -MAX_AGE * 1000, MAX_AGE * 1000])
def test_a_clock_that_was_set_is_no_reason_to_go_on_with_old_keys_or_to_give_up(seconds: float) -> None:
    issuer = Issuer(key("one"))
    known = issuer.known()
    known.find("one", "RS256")
    issuer.publish(key("two"))
    issuer.clock.now += seconds
    assert refused(issuer, known, "one") == 1
    assert known.find("two", "RS256").key == key("two").private.public_key()


def test_a_clock_that_was_set_back_does_not_let_an_issuer_rest_for_ever() -> None:
    issuer = Issuer(key())
    issuer.down = True
    known = issuer.known()
    for seconds in (0, -MAX_AGE):
        issuer.clock.now += seconds
        with pytest.raises(SettingsError, match="it is down"):
            known.find("one", "RS256")
    issuer.down = False
    issuer.clock.now += RETRY_SECONDS
    assert known.find("one", "RS256")


def test_an_issuer_tells_itself_where_its_keys_are() -> None:
    issuer = Issuer(key())
    known = issuer.known(jwks_uri=None)
    known.find("one", "RS256")
    assert issuer.asked == [f"{ISSUER}{DISCOVERY}", KEYS_URL]
    issuer.clock.now += MAX_AGE / 2
    issuer.configuration = {**issuer.configuration, "jwks_uri": "https://keys.example.net/x?v=2"}
    known.find("one", "RS256")
    assert issuer.asked[2:] == [f"{ISSUER}{DISCOVERY}", "https://keys.example.net/x?v=2"]


@pytest.mark.parametrize("name", [f"{ISSUER}/", f"{ISSUER}/tenant", f"{ISSUER}/tenant/"])
def test_the_configuration_is_under_the_issuer_s_name(name: str) -> None:
    issuer = Issuer(key())
    issuer.configuration = {"issuer": name, "jwks_uri": KEYS_URL}
    issuer.known(jwks_uri=None, issuer=name).find("one", "RS256")
    assert issuer.asked[0] == f"{name.rstrip('/')}/.well-known/openid-configuration"


def test_an_issuer_beside_a_local_run_may_keep_its_keys_there() -> None:
    issuer = Issuer(key())
    local = "http://127.0.0.1:8080"
    issuer.configuration = {"issuer": local, "jwks_uri": f"{local}/keys"}
    assert issuer.known(jwks_uri=None, issuer=local).find("one", "RS256")


@pytest.mark.parametrize("told", [f"{ISSUER}/", "https://another.example.com", "", None, [ISSUER], 5])
def test_no_issuer_speaks_for_another(told: object) -> None:
    issuer = Issuer(key())
    issuer.configuration = {"issuer": told, "jwks_uri": KEYS_URL}
    with pytest.raises(SettingsError, match="another issuer's"):
        issuer.known(jwks_uri=None).find("one", "RS256")
    assert KEYS_URL not in issuer.asked


@pytest.mark.parametrize("told", [None, 5, [KEYS_URL], {}, False])
def test_a_configuration_that_names_no_place_for_keys_is_no_good(told: object) -> None:
    issuer = Issuer(key())
    issuer.configuration = {"issuer": ISSUER, "jwks_uri": told}
    with pytest.raises(SettingsError, match="names no jwks_uri"):
        issuer.known(jwks_uri=None).find("one", "RS256")
    assert len(issuer.asked) == 1


UNSAFE = [
    "",
    "/keys",
    "issuer.example.com/keys",
    "//issuer.example.com/keys",
    "https:/keys",
    "https:///keys",
    "https://:443/keys",
    "https://user@issuer.example.com/keys",
    "https://user:password@issuer.example.com/keys",
    "https://issuer.example.com:port/keys",
    "https://issuer.example.com:-1/keys",
    "https://issuer.example.com:65536/keys",
    "https://issuer.example.com\0/keys",
    "https://issuer.example.com x/keys",
    "https://[issuer/keys",
    "https://\u2100.example.com/keys",
    "http://issuer.example.com/keys",
    "HTTP://issuer.example.com/keys",
    "http://127.0.0.1.example.com/keys",
    "http://localhost.example.com/keys",
    "http://127.0.0.1@issuer.example.com/keys",
    "http://127.0.0.1:@issuer.example.com/keys",
    "http://localhost:80@issuer.example.com/keys",
    "http://169.254.169.254/latest/meta-data",
    "ftp://issuer.example.com/keys",
    "file:///etc/passwd",
    "data:application/json,{}",
]


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """Let nobody connect to anything, and return whom somebody wanted to connect to."""
    wanted: list[object] = []

    def refuse(address: object, *_given: object) -> socket.socket:
        wanted.append(address)
        raise OSError

    monkeypatch.setattr(socket, "create_connection", refuse)
    return wanted


@pytest.mark.parametrize("url", UNSAFE, ids=ascii)
def test_keys_are_taken_by_https_or_from_loopback_and_from_nowhere_else(
    url: str, offline: list[object]
) -> None:
    with pytest.raises(FetchError):
        key_sets.read_json(url)
    assert offline == []


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("https://issuer.example.com/keys", ("issuer.example.com", 443)),
        ("https://issuer.example.com:8443", ("issuer.example.com", 8443)),
        ("https://[2001:db8::1]:8443/keys", ("2001:db8::1", 8443)),
        ("http://127.0.0.1/keys", ("127.0.0.1", 80)),
        ("http://localhost:8080/keys", ("localhost", 8080)),
    ],
)
def test_the_host_that_a_url_names_is_the_one_that_is_asked(
    url: str, address: tuple[str, int], offline: list[object]
) -> None:
    with pytest.raises(FetchError, match="cannot be reached"):
        key_sets.read_json(url)
    assert offline == [address]


def test_an_issuer_that_names_an_unsafe_place_for_its_keys_is_not_asked_there(offline: list[object]) -> None:
    told = {"issuer": ISSUER, "jwks_uri": "http://issuer.example.com/keys"}

    def fetch(url: str) -> Mapping[str, Any]:
        return told if url.endswith(DISCOVERY) else key_sets.read_json(url)

    known = key_sets.Keys(key_sets.Place(ISSUER, None), MAX_AGE, lambda: 0.0, lambda _: None, fetch)
    with pytest.raises(SettingsError, match="keys cannot be had"):
        known.find("one", "RS256")
    assert offline == []


def changed(**members: Any) -> dict[str, Any]:
    """Return a good RSA key of a set, with some of its members changed; one that is None is left out."""
    described = {**key("one").public(), **members}
    return {name: value for name, value in described.items() if value is not None}


def test_what_a_key_may_leave_out_it_may_leave_out() -> None:
    assert key_sets.algorithm_of(changed(use=None, alg=None)) == "RS256"
    assert [*key_sets.by_algorithm({"keys": [changed(use=None, alg=None)]})] == ["RS256"]


PRIVATE: Any = key("one").private
OTHER_CURVE = ec.generate_private_key(ec.SECP384R1()).public_key()
OTHER_EDWARDS = ed448.Ed448PrivateKey.generate().public_key()
WEAK = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
PASSED_OVER: Mapping[str, object] = {
    "for encryption": changed(use="enc"),
    "for another use": changed(use="tls"),
    "for no use": changed(use=""),
    "for another algorithm of its type": changed(alg="RS512"),
    "for another padding": changed(alg="PS256"),
    "for encryption by its algorithm": changed(alg="RSA-OAEP"),
    "for an algorithm of another type": changed(alg="ES256"),
    "for a symmetric algorithm": changed(alg="HS256"),
    "for none": changed(alg="none"),
    "for several": changed(alg=["RS256"]),
    "weak": {**jwt.algorithms.RSAAlgorithm.to_jwk(WEAK, as_dict=True), "kid": "one", "alg": "RS256"},
    "symmetric": {"kty": "oct", "k": "c2VjcmV0", "kid": "one"},
    "symmetric, and says it is not": {"kty": "oct", "k": "c2VjcmV0", "kid": "one", "alg": "RS256"},
    "on another curve": {**jwt.algorithms.ECAlgorithm.to_jwk(OTHER_CURVE, as_dict=True), "kid": "one"},
    "said to be on another curve": {**key("three", "ES256").public(), "crv": "P-384"},
    "on a curve that is none": {**key("three", "ES256").public(), "crv": ["P-256"]},
    "an Edwards key on another curve": {
        **jwt.algorithms.OKPAlgorithm.to_jwk(OTHER_EDWARDS, as_dict=True),
        "kid": "one",
    },
    "for an exchange of keys": {"kty": "OKP", "crv": "X25519", "x": "AAAA", "kid": "one"},
    "a point that is not on the curve": {**key("three", "ES256").public(), "x": "A" * 43},
    "without a modulus": changed(n=None),
    "without an exponent": changed(e=None),
    "with an exponent of no sense": changed(e="AA"),
    "with a modulus of no sense": changed(n="!"),
    "with a number for a modulus": changed(n=5),
    "with a list for a modulus": changed(n=["AQAB"]),
    "without a type": changed(kty=None),
    "of a type in another case": changed(kty="rsa"),
    "of several types": changed(kty=["RSA"]),
    "private": {**jwt.algorithms.RSAAlgorithm.to_jwk(PRIVATE, as_dict=True), "kid": "one"},
    "a text": "AQAB",
    "a list": [],
    "nothing": None,
}


@pytest.mark.parametrize("described", PASSED_OVER.values(), ids=PASSED_OVER)
def test_what_is_no_key_for_signatures_is_passed_over(described: object) -> None:
    good = key("three", "ES256")
    found = key_sets.by_algorithm({"keys": [described, good.public(), described]})
    assert {name: [each.key_id for each in keys] for name, keys in found.items()} == {"ES256": ["three"]}


@pytest.mark.parametrize("keys", [None, {}, "keys", 5, {"kid": {}}, [None]])
def test_a_set_that_is_none_holds_no_key(keys: object) -> None:
    assert key_sets.by_algorithm({"keys": keys}) == {}
    assert key_sets.by_algorithm({}) == {}


LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
VALUES = (
    st.sampled_from(["sig", "RSA", "EC", "OKP", "oct", "P-256", "Ed25519", "AQAB", "AA", ""])
    | st.recursive(LEAVES, lambda each: st.lists(each, max_size=2), max_leaves=3)
    | st.dictionaries(st.text(max_size=3), LEAVES, max_size=1)
)
MEMBERS = st.sampled_from(["kty", "crv", "n", "e", "x", "y", "kid", "alg", "use", "key_ops", "x5c"])


@given(
    st.sampled_from(ALGORITHMS), st.dictionaries(MEMBERS, VALUES, max_size=3), st.sets(MEMBERS, max_size=2)
)
def test_no_key_of_a_set_breaks_the_function(
    algorithm: str, members: dict[str, object], missing: set[str]
) -> None:
    described = {**key(algorithm, algorithm).public(), **members}
    found = key_sets.by_algorithm(
        {"keys": [{name: value for name, value in described.items() if name not in missing}]}
    )
    for name, keys in found.items():
        assert {each.algorithm_name for each in keys} == {name}


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_no_private_key_is_taken_for_one_to_check_with(algorithm: str) -> None:
    maker: Any = {
        "RS256": jwt.algorithms.RSAAlgorithm,
        "ES256": jwt.algorithms.ECAlgorithm,
        "EdDSA": jwt.algorithms.OKPAlgorithm,
    }[algorithm]
    told = {**maker.to_jwk(key(algorithm, algorithm).private, as_dict=True), "kid": "private"}
    found = key_sets.by_algorithm({"keys": [told, key("other", algorithm).public()]})
    assert [each.key_id for each in found[algorithm]] == ["other"]


Answer = Callable[[socket.socket], None]


class Host:
    """A host on loopback that answers every request by the same bytes, or as it is told."""

    def __init__(self, listener: socket.socket, answer: Answer) -> None:
        self.requests: list[bytes] = []
        self.place = f"127.0.0.1:{listener.getsockname()[1]}"
        self.url = f"http://{self.place}"
        self._listener = listener
        self._answer = answer
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        self._over.set()
        # The listener is closed by whoever opened it; this wakes the one who waits for a caller.
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._thread.join()

    def _serve(self) -> None:
        with suppress(OSError):
            while not self._over.is_set():
                caller, _ = self._listener.accept()
                with closing(caller), suppress(OSError):
                    caller.settimeout(5)
                    self.requests.append(caller.recv(65_536))
                    self._answer(caller)


@contextmanager
def host(answer: bytes | Answer) -> Iterator[Host]:
    send: Answer = answer if callable(answer) else lambda caller: caller.sendall(answer)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        made = Host(listener, send)
        try:
            yield made
        finally:
            made.stop()


def response(body: bytes, status: str = "200 OK", *headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(body)}", *headers, "", ""]
    return "\r\n".join(lines).encode() + body


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "TIMEOUT_SECONDS", 0.1)


def test_an_object_is_read_from_a_url() -> None:
    with host(response(b'{"keys":[]}')) as made:
        assert key_sets.read_json(f"{made.url}/a/keys?v=1&w=2") == {"keys": []}
        assert key_sets.read_json(made.url) == {"keys": []}
    first, second = (each.decode().split("\r\n") for each in made.requests)
    assert first[0] == "GET /a/keys?v=1&w=2 HTTP/1.1"
    assert second[0] == "GET / HTTP/1.1"
    assert f"Host: {made.place}" in first
    assert "Accept: application/json" in first


@pytest.mark.parametrize("status", ["301 Moved", "302 Found", "303 See", "307 Temporary", "308 Permanent"])
def test_nobody_is_followed_elsewhere(status: str) -> None:
    with (
        host(response(b"{}")) as elsewhere,
        host(response(b"{}", status, f"Location: {elsewhere.url}/keys")) as made,
        pytest.raises(FetchError, match=rf"^127\.0\.0\.1 answered {status[:3]}$"),
    ):
        key_sets.read_json(made.url)
    assert elsewhere.requests == []


@pytest.mark.parametrize(
    "status", ["201 Created", "204 No Content", "400 Bad", "404 Not Found", "500 Error", "503 Busy", "999 X"]
)
def test_any_status_but_200_is_no_answer(status: str) -> None:
    with host(response(b'{"keys":[]}', status)) as made, pytest.raises(FetchError, match=status[:3]):
        key_sets.read_json(made.url)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"null",
        b"[]",
        b'"keys"',
        b"5",
        b"{",
        b"{}x",
        b"<html>",
        b"\xff\xfe{}",
        b"[" * 100_000,
        b'{"a":' * 50_000,
        b'{"a":' + b"9" * 5_000 + b"}",
    ],
    ids=lambda body: repr(body[:8]),
)
def test_an_answer_that_is_no_object_is_none(body: bytes) -> None:
    with host(response(body)) as made, pytest.raises(FetchError, match="no JSON object"):
        key_sets.read_json(made.url)


def padded(size: int) -> bytes:
    return b"{}" + b" " * (size - 2)


def test_an_answer_may_be_so_large_and_no_larger() -> None:
    with host(response(padded(LARGEST_ANSWER))) as made:
        assert key_sets.read_json(made.url) == {}
    with (
        host(response(padded(LARGEST_ANSWER + 1))) as made,
        pytest.raises(FetchError, match=f"at most {LARGEST_ANSWER}"),
    ):
        key_sets.read_json(made.url)


def test_an_answer_without_an_end_is_not_read_for_ever() -> None:
    sent = 0

    def endless(caller: socket.socket) -> None:
        nonlocal sent
        caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
        while sent < 100 * LARGEST_ANSWER:
            caller.sendall(b" " * 65_536)
            sent += 65_536

    with host(endless) as made, pytest.raises(FetchError, match="no JSON object"):
        key_sets.read_json(made.url)
    assert sent < 100 * LARGEST_ANSWER


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 OK\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nxyz\r\n{}",
        b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 200 + b"\r\n{}",
        b"HTTP/1.1 200 OK\r\nX: " + b"y" * 70_000 + b"\r\n\r\n{}",
        b"\x16\x03\x01\x00\x00",
    ],
    ids=lambda answer: repr(answer[:30]),
)
def test_what_is_no_answer_by_http_is_told_as_a_host_that_cannot_be_reached(answer: bytes) -> None:
    with host(answer) as made, pytest.raises(FetchError, match=r"^127\.0\.0\.1 cannot be reached"):
        key_sets.read_json(made.url)


def test_a_host_where_nobody_listens_cannot_be_reached() -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(FetchError, match="cannot be reached"):
        key_sets.read_json(f"http://127.0.0.1:{port}/keys")


@pytest.mark.parametrize(
    "begun",
    [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"],
    ids=["nothing", "half a head", "half a body"],
)
@pytest.mark.usefixtures("impatient")
def test_a_host_that_hangs_is_given_up(begun: bytes) -> None:
    given_up = threading.Event()

    def hang(caller: socket.socket) -> None:
        caller.sendall(begun)
        assert caller.recv(1) == b""
        given_up.set()

    with host(hang) as made:
        with pytest.raises(FetchError, match=r"cannot be reached \(TimeoutError\)"):
            key_sets.read_json(made.url)
        assert given_up.wait(5), "the connection was closed"


def drip(stopped: threading.Event, caller: socket.socket) -> None:
    """Answer so slowly that there is no end, and so fast that nobody waits long for the next byte."""
    caller.sendall(b"HTTP/1.1 200 OK\r\n\r\n{")
    while not stopped.wait(0.01):
        caller.sendall(b" ")


def test_a_host_that_answers_byte_by_byte_is_given_up_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "DEADLINE_SECONDS", 0.1)
    stopped = threading.Event()
    with host(lambda caller: drip(stopped, caller)) as made:
        known = key_sets.Keys(key_sets.Place(made.url, made.url), MAX_AGE, lambda: 0.0, lambda _: None)
        with pytest.raises(SettingsError, match=r"no answer within 0\.1 seconds"):
            known.find("one", "RS256")
        stopped.set()


def test_everything_that_is_asked_has_one_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_sets, "DEADLINE_SECONDS", 0.1)
    over = threading.Event()

    def fetch(url: str) -> Mapping[str, Any]:
        if url.endswith(DISCOVERY):
            return {"issuer": ISSUER, "jwks_uri": KEYS_URL}
        assert over.wait(10)
        raise FetchError("too late")

    known = key_sets.Keys(key_sets.Place(ISSUER, None), MAX_AGE, lambda: 0.0, lambda _: None, fetch)
    with pytest.raises(SettingsError, match=r"no answer within 0\.1 seconds"):
        known.find("one", "RS256")
    with pytest.raises(SettingsError, match="a moment ago"):
        known.find("one", "RS256")
    over.set()


def test_what_cannot_be_had_is_told_without_the_answer() -> None:
    with host(response(b"secret of the host", "500 secret")) as made, pytest.raises(FetchError) as failed:
        key_sets.read_json(made.url)
    assert "secret" not in str(failed.value)


@pytest.fixture(scope="module")
def self_signed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a certificate for loopback, with its key, that nobody vouches for."""
    private = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(
            x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False
        )
        .sign(private, hashes.SHA256())
    )
    file = tmp_path_factory.mktemp("tls") / "server.pem"
    file.write_bytes(
        private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        + certificate.public_bytes(serialization.Encoding.PEM)
    )
    return file


@contextmanager
def secure_host(certificate: Path) -> Iterator[Host]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    with (
        closing(socket.create_server(("127.0.0.1", 0))) as plain,
        closing(context.wrap_socket(plain, server_side=True)) as listener,
    ):
        made = Host(listener, lambda caller: caller.sendall(response(b"{}")))
        try:
            yield made
        finally:
            made.stop()


def test_a_host_that_nobody_vouches_for_is_told_nothing(self_signed: Path) -> None:
    with (
        secure_host(self_signed) as made,
        pytest.raises(FetchError, match=r"cannot be reached \(SSLCertVerificationError\)"),
    ):
        key_sets.read_json(f"https://{made.place}/keys")
    assert made.requests == []


def test_a_host_that_somebody_vouches_for_is_asked_by_tls(
    self_signed: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(self_signed))
    # What is read anew of the environment is not to stay for others.
    monkeypatch.setattr(key_sets, "trusted_roots", key_sets.trusted_roots.__wrapped__)
    with secure_host(self_signed) as made:
        assert key_sets.read_json(f"https://{made.place}/keys") == {}
    assert len(made.requests) == 1


def test_a_url_that_says_https_is_never_asked_in_the_clear() -> None:
    with host(response(b"{}")) as made, pytest.raises(FetchError, match="cannot be reached"):
        key_sets.read_json(f"https://{made.place}/keys")
    assert not any(b"GET" in each for each in made.requests)


def test_keys_are_read_from_the_network_unless_told_otherwise() -> None:
    with host(response(json.dumps({"keys": [key().public()]}).encode())) as made:
        known = key_sets.Keys(
            key_sets.Place(made.url, f"{made.url}/keys"), MAX_AGE, lambda: 0.0, lambda _: None
        )
        assert known.find("one", "RS256").key == key("one").private.public_key()
