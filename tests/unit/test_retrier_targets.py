import string
from ipaddress import ip_address, ip_network
from urllib.parse import urlsplit

import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st
from yarl import URL

from sluice.retrier import targets
from sluice.retrier.targets import (
    LONGEST_URL,
    ORIGIN,
    ForbiddenTargetError,
    embedded,
    is_loopback,
    judge,
    may_connect,
    redirected,
)

from .retrier_rules import upstreams

KNOWN = upstreams(
    "http://allowed.example",
    "https://allowed.example",
    "https://allowed.example:8443",
    "https://*.wild.example",
    "http://*.wild.example:8080",
    "http://127.0.0.1:8080",
    "http://[2001:db8::1]",
)


def leads(url: str) -> str | None:
    """Return the origin to which a URL leads; none where it may not be called."""
    try:
        return judge(url, KNOWN).origin
    except ForbiddenTargetError:
        return None


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("http://allowed.example", "http://allowed.example:80"),
        ("http://allowed.example/", "http://allowed.example:80"),
        ("http://allowed.example:80/a?b#c", "http://allowed.example:80"),
        ("https://allowed.example?b", "https://allowed.example:443"),
        ("https://allowed.example#@evil.example", "https://allowed.example:443"),
        ("https://allowed.example/@evil.example", "https://allowed.example:443"),
        ("https://allowed.example?@evil.example", "https://allowed.example:443"),
        ("https://allowed.example:8443/", "https://allowed.example:8443"),
        ("HTTPS://ALLOWED.Example:8443/", "https://allowed.example:8443"),
        ("https://allowed.example:/", "https://allowed.example:443"),
        ("https://allowed.example:00443/", "https://allowed.example:443"),
        ("https://a.wild.example/", "https://a.wild.example:443"),
        ("https://a.b.c.wild.example/", "https://a.b.c.wild.example:443"),
        ("http://A.WILD.example:8080/", "http://a.wild.example:8080"),
        ("http://127.0.0.1:8080/", "http://127.0.0.1:8080"),
        ("http://[2001:db8::1]/", "http://[2001:db8::1]:80"),
        ("http://[2001:DB8::1]:80/", "http://[2001:db8::1]:80"),
    ],
)
def test_an_upstream_may_be_called(url: str, origin: str) -> None:
    assert leads(url) == origin


@pytest.mark.parametrize(
    "url",
    [
        "http://allowed.example@evil.example/",
        "http://evil.example@allowed.example/",
        "http://user:pass@allowed.example/",
        "http://@allowed.example/",
        "http://allowed.example:80@evil.example/",
        "http://allowed.example:@evil.example/",
        "http://evil.example#@allowed.example/",
        "http://evil.example?@allowed.example/",
        "http://evil.example/@allowed.example/",
        "http://evil.example;@allowed.example/",
        "http://allowed.example\\@evil.example/",
        "http://evil.example\\@allowed.example/",
        "http:\\\\allowed.example\\",
        "http://allowed.example\\.evil.example/",
        "http://allowed.example/\\evil.example/",
        "http://allowed.example/?\\",
        "http://allowed.example%2f@evil.example/",
        "http://allowed.example%2fevil.example/",
        "http://allowed.example%40evil.example/",
        "http://evil.example%23@allowed.example/",
        "http://allowed.example%00.evil.example/",
        "http://allowed.example%20/",
        "http://allowed%2eexample/",
        "http://%61llowed.example/",
    ],
)
def test_what_only_looks_like_an_upstream_is_none(url: str) -> None:
    assert leads(url) is None


@pytest.mark.parametrize(
    "space", ["\t", "\n", "\r", "\r\n", " ", "\0", "\x0b", "\x1f", "\x7f", "\u00a0", "\u2028"], ids=ascii
)
@pytest.mark.parametrize(
    "template",
    [
        "{}http://allowed.example/",
        "ht{}tp://allowed.example/",
        "http:/{}/allowed.example/",
        "http://allowed{}.example/",
        "http://allowed.example{}/",
        "http://allowed.example/{}",
        "http://allowed.example{}@evil.example/",
    ],
)
def test_nothing_invisible_is_in_a_url(template: str, space: str) -> None:
    assert leads(template.format(space)) is None


@pytest.mark.parametrize(
    "host",
    [
        "\u0430llowed.example",
        "allowed\u3002example",
        "allowed.example\uff0fevil",
        "\uff41llowed.example",
        "allowed.ex\u00e4mple",
        "allowed.example\u2044",
        "\u24d0llowed.example",
        "allowed\u00ad.example",
        "xn--llowed-4nf.example",
    ],
    ids=ascii,
)
def test_a_name_of_other_letters_is_another_name(host: str) -> None:
    assert leads(f"http://{host}/") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://allowed.example./",
        "http://.allowed.example/",
        "http://allowed.example../",
        "http://allowed..example/",
        "http://a.allowed.example/",
        "http://allowed.example.evil.example/",
        "http://notallowed.example/",
        "http://allowed.exampl/",
        "http://example/",
        "http://allowed/",
    ],
)
def test_a_name_is_the_whole_name(url: str) -> None:
    assert leads(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "https://wild.example/",
        "https://notwild.example/",
        "https://a.notwild.example/",
        "https://wild.example.evil.example/",
        "https://a.wild.example./",
        "https://a.wild.example.evil.example/",
        "https://a.wild.example@evil.example/",
        "https://evil.example/.wild.example",
        "https://evil.example?.wild.example",
        "https://evil.example#.wild.example",
        "https://a.wild.example:8080/",
        "http://a.wild.example/",
        "http://a.wild.example:80/",
        "https://*wild.example/",
    ],
)
def test_a_wildcard_is_for_the_names_below_one(url: str) -> None:
    assert leads(url) is None


@pytest.mark.parametrize(
    "host", [".wild.example", "a..wild.example", f"{'a' * 64}.wild.example", "..wild.example"]
)
def test_a_wildcard_is_for_names_that_can_be(host: str) -> None:
    # Looking them up is an error, and none of those that a network has.
    assert leads(f"https://{host}/") is None


@pytest.mark.parametrize(
    "host",
    [
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0177.0.0.1",
        "017700000001",
        "127.1",
        "127.0.1",
        "127.0.0.01",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::127.0.0.1]",
        "[::1]",
        "0",
        "0.0.0.0",
        "[::]",
        "localhost",
        "127.0.0.1.",
        "127.0.0.1.nip.io",
        "[127.0.0.1]",
        "[2001:db8::1%25eth0]",
        "[2001:db8:0::1]",
        "[v1.x]",
    ],
)
def test_an_address_is_an_upstream_only_as_it_was_written(host: str) -> None:
    assert leads(f"http://{host}:8080/") is None
    assert leads(f"http://{host}/") is None


@pytest.mark.parametrize(
    "url",
    [
        "http://allowed.example:0/",
        "http://allowed.example:81/",
        "http://allowed.example:443/",
        "https://allowed.example:80/",
        "http://allowed.example:65616/",
        "http://allowed.example:-80/",
        "http://allowed.example:+80/",
        "http://allowed.example:8_0/",
        "http://allowed.example:80:80/",
        "http://allowed.example:http/",
        "http://allowed.example:99999999999999999999/",
        "http://allowed.example:%38%30/",
        "http://127.0.0.1/",
    ],
)
def test_a_port_is_the_upstream_s(url: str) -> None:
    assert leads(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "",
        "/",
        "allowed.example",
        "//allowed.example/",
        "http:",
        "http:/",
        "http://",
        "http:///allowed.example/",
        "http:allowed.example",
        "http:/allowed.example/",
        "ftp://allowed.example/",
        "file://allowed.example/etc",
        "javascript:http://allowed.example/",
        "httpx://allowed.example/",
        "ws://allowed.example/",
        "http://[allowed.example/",
        "http://[/",
        "http://]/",
        "http://[]/",
        "http://?",
        "http://#",
        "http://:80/",
        "url:http://allowed.example/",
        "http+unix://allowed.example/",
        "http://[2001:db8::1",
        "\ud800",
    ],
    ids=ascii,
)
def test_what_is_no_plain_url_is_refused(url: str) -> None:
    assert leads(url) is None


def test_a_url_has_an_end() -> None:
    start = "http://allowed.example/"
    longest = start + "x" * (LONGEST_URL - len(start))
    assert leads(longest) == "http://allowed.example:80"
    assert leads(longest + "x") is None


def test_what_may_be_called_keeps_its_url_but_for_what_is_behind_it() -> None:
    target = judge("https://a.wild.example/a%2Fb?c=%20#d?e#f", KNOWN)
    assert target.url == "https://a.wild.example/a%2Fb?c=%20"
    assert (target.scheme, target.host, target.port) == ("https", "a.wild.example", 443)
    assert target.upstream.origin == "https://*.wild.example"


def test_the_message_names_who_is_no_upstream() -> None:
    with pytest.raises(ForbiddenTargetError, match=r"^https://evil\.example:443 is not among the upstreams$"):
        judge("https://evil.example/secret?token=x", KNOWN)


def test_nobody_may_be_called_where_there_is_no_upstream() -> None:
    with pytest.raises(ForbiddenTargetError):
        judge("https://allowed.example/", ())


PIECES = st.sampled_from(
    [
        *".:/?#@\\[]%;,'!*~-_=&$(){}|^`<>\" \t\n0",
        "%2f",
        "%40",
        "%00",
        "%5b",
        "80",
        "8080",
        "443",
        "//",
        "..",
        "::1",
        "allowed.example",
        "evil.example",
        "wild.example",
        ".wild.example",
        "127.0.0.1",
        "[2001:db8::1]",
        "xn--",
        "a",
    ]
)
HOSTS = st.sampled_from(
    ["allowed.example", "a.wild.example", "127.0.0.1:8080", "[2001:db8::1]", "ALLOWED.example"]
)
SCHEMES = st.sampled_from(["http://", "https://", "HTTP://", "hTTps://"])
TWISTED = st.builds(
    lambda scheme, before, host, after: scheme + "".join(before) + host + "".join(after),
    SCHEMES | st.sampled_from(["http:", "//", "http:/", ""]),
    st.lists(PIECES, max_size=3),
    HOSTS | st.just(".wild.example") | st.just(""),
    st.lists(PIECES, max_size=5),
)


def connected(url: str) -> tuple[str, str, int | None]:
    """Return whom the client that sends a call connects to; a name's case says nothing."""
    found = URL(url, encoded=True)
    return found.scheme, str(found.raw_host).lower(), found.port


@settings(max_examples=500)
@given(TWISTED)
@example("http://allowed.example:80\\@evil.example")
@example("https://evil.example:443%2f.wild.example/")
@example("https://x[2001:db8::1]y.wild.example/")
@example("http://x[2001:db8::1]/")
@example("http://[2001:db8::1]x/")
@example("http://[2001:db8::1]@evil.example/")
@example("https://evil.example,.wild.example/")
@example("HTTPS://A.WILD.EXAMPLE")
def test_who_was_judged_is_who_is_connected_to(url: str) -> None:
    try:
        target = judge(url, KNOWN)
    except ForbiddenTargetError:
        event("refused")
        return
    event("allowed")
    assert connected(target.url) == (target.scheme, target.host, target.port)


VISIBLE = st.text(sorted({*string.printable} - {*string.whitespace, "\\"}), max_size=40)


@settings(max_examples=300)
@given(SCHEMES, st.sampled_from(["allowed.example", "ALLOWED.Example"]), st.sampled_from("/?#"), VISIBLE)
def test_whatever_follows_an_upstream_leads_to_it(scheme: str, host: str, mark: str, rest: str) -> None:
    target = judge(f"{scheme}{host}{mark}{rest}", KNOWN)
    assert (target.host, target.scheme) == ("allowed.example", scheme[:-3].lower())
    assert connected(target.url) == (target.scheme, target.host, target.port)


@settings(max_examples=300)
@given(TWISTED | VISIBLE)
@example("http://[::1")
@example("//[")
@example("\ud800")
@example("http://allowed.example:x/")
def test_a_redirect_leads_to_an_upstream_or_is_refused(location: str) -> None:
    start = judge("https://allowed.example/a/b?c", KNOWN)
    try:
        found = redirected(start, location, KNOWN)
    except ForbiddenTargetError:
        return
    assert found.scheme == "https"
    assert found.upstream in KNOWN
    assert connected(found.url) == (found.scheme, found.host, found.port)


@pytest.mark.parametrize(
    ("location", "url"),
    [
        ("/x", "https://allowed.example/x"),
        ("x", "https://allowed.example/a/x"),
        ("../x", "https://allowed.example/x"),
        ("?x", "https://allowed.example/a/b?x"),
        ("", "https://allowed.example/a/b?c"),
        ("#x", "https://allowed.example/a/b?c"),
        ("//a.wild.example/x", "https://a.wild.example/x"),
        ("https://allowed.example:8443/x#y", "https://allowed.example:8443/x"),
    ],
)
def test_a_redirect_starts_from_where_it_came(location: str, url: str) -> None:
    assert redirected(judge("https://allowed.example/a/b?c", KNOWN), location, KNOWN).url == url


def test_a_redirect_may_lead_to_tls_and_not_away_from_it() -> None:
    plain, safe = (judge(f"{each}://allowed.example/", KNOWN) for each in ("http", "https"))
    assert redirected(plain, "https://allowed.example/", KNOWN) == safe
    with pytest.raises(ForbiddenTargetError, match="from https to http"):
        redirected(safe, "http://allowed.example/", KNOWN)


PUBLIC = [
    "8.8.8.8",
    "93.184.215.14",
    "1.1.1.1",
    "2001:4860:4860::8888",
    "2606:4700::1111",
    "::ffff:8.8.8.8",
    "64:ff9b::808:808",
]
PRIVATE = [
    "10.0.0.1",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "127.0.0.1",
    "127.255.255.255",
    "100.64.0.1",
    *(
        "::1",
        "fc00::1",
        "fd12:3456::1",
        "::ffff:10.0.0.1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
    ),
    *(
        "2002:a00:1::",
        "::7f00:1",
        "64:ff9b:1::a00:1",
        "2001:0:53aa:64c::80ff:fffe",
        "198.18.0.1",
        "192.0.2.1",
    ),
    *("240.0.0.1", "255.255.255.255", "2001:db8::1", "fd00::1%eth0", "fec0::1", "::ffff:0:7f00:1"),
]
NEVER = [
    "169.254.169.254",
    "169.254.170.2",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fd00:ec2::23",
    *("::ffff:169.254.169.254", "::ffff:a9fe:a9fe", "64:ff9b::a9fe:a9fe", "2002:a9fe:a9fe::", "::a9fe:a9fe"),
    *("0.0.0.0", "::", "::ffff:0.0.0.0", "224.0.0.1", "239.255.255.255", "ff02::1", "::ffff:224.0.0.1"),
]
ALL = tuple(ip_network(each) for each in ("0.0.0.0/0", "::/0"))


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_connected_to(address: str) -> None:
    assert may_connect(address, ())


@pytest.mark.parametrize("address", [*PRIVATE, *NEVER])
def test_no_other_address_may_be_connected_to(address: str) -> None:
    assert not may_connect(address, ())


@pytest.mark.parametrize("address", PRIVATE)
def test_a_private_address_may_be_connected_to_where_its_network_is_allowed(address: str) -> None:
    assert may_connect(address, ALL)


@pytest.mark.parametrize("address", NEVER)
def test_some_addresses_may_never_be_connected_to(address: str) -> None:
    assert not may_connect(address, ALL)


@pytest.mark.parametrize(
    "text", ["", "allowed.example", "127.1", "0177.0.0.1", "2130706433", "1.2.3.4.5", "::g", "%", "8.8.8.8 "]
)
def test_what_is_no_address_is_not_connected_to(text: str) -> None:
    assert not may_connect(text, ALL)


def test_only_the_network_that_is_allowed_is() -> None:
    private = targets.networks(["10.1.0.0/16", "fd12::/16"])
    assert may_connect("10.1.2.3", private)
    assert may_connect("::ffff:10.1.2.3", private)
    assert may_connect("fd12::9", private)
    assert not may_connect("10.2.0.1", private)
    assert not may_connect("192.168.0.1", private)
    assert not may_connect("fd13::9", private)


@settings(max_examples=300)
@given(st.ip_addresses(v=4))
def test_an_address_within_another_is_judged_as_it_is(address: object) -> None:
    plain = ip_address(str(address))
    number = int(plain)
    bare = may_connect(str(plain), ())
    for each in (0xFFFF << 32 | number, 0x64FF9B << 96 | number, 0x2002 << 112 | number << 80):
        wrapped = ip_address(each.to_bytes(16, "big"))
        assert embedded(wrapped) == plain
        assert may_connect(str(wrapped), ()) == bare


@pytest.mark.parametrize(
    ("network", "own"),
    [
        ("127.0.0.0/8", True), ("127.0.0.1/32", True), ("0.0.0.0/0", True), ("126.0.0.0/7", True),
        ("::1/128", True),
        ("::/0", True), ("::ffff:127.0.0.1/128", True), ("::ffff:0:0/96", True), ("10.0.0.0/8", False),
        ("128.0.0.0/8", False), ("fd00::/8", False), ("::2/128", False),
    ],
)  # fmt: skip
def test_a_network_that_holds_the_machine_itself_is_known(network: str, own: bool) -> None:
    assert is_loopback(ip_network(network)) is own


@pytest.mark.parametrize("origin", [each.origin for each in KNOWN])
def test_an_origin_is_scheme_host_and_port(origin: str) -> None:
    assert ORIGIN.fullmatch(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "https://Allowed.example",
        "https://allowed.example/",
        "https://a.example:0",
        "https://a.example:080",
        "https://u@a.example",
        "https://a.*.example",
        "https://**.example",
        "https://*",
        "ftp://a.example",
        "a.example",
        "https://a..example",
        "https://.a.example",
        "https://-a.example",
        "https://a.example.",
        "https://a.example\n",
    ],
)
def test_what_is_more_or_less_is_no_origin(origin: str) -> None:
    assert not ORIGIN.fullmatch(origin)


@given(st.from_regex(ORIGIN, fullmatch=True).filter(lambda each: "[" not in each and "*" not in each))
def test_an_origin_fits_itself(origin: str) -> None:
    parts = urlsplit(origin)
    try:
        port = parts.port or targets.PORTS[parts.scheme]
    except ValueError:
        return
    assert targets.fits(origin, parts.scheme, str(parts.hostname), port)
    assert not targets.fits(origin, parts.scheme, f"a.{parts.hostname}", port)
