import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sluice.limiter import clients
from sluice.limiter.clients import Identity, Networks, NoClientError

PLAIN = Identity()
SITED = Identity(ipv6_prefix=64, ipv6_site_prefix=48)
V4_ADDRESSES = st.ip_addresses(v=4).map(str)
V6_ADDRESSES = (
    st.integers(0, 2**128 - 1).filter(lambda each: each >> 32 != 0xFFFF).map(ipaddress.IPv6Address).map(str)
)
NO_ADDRESSES = [
    "", "-", " ", "1.2.3", "1.2.3.4.5", "256.1.1.1", "1.2.3.4/32", "2001:db8::/64", "fe80::1%eth0",
    "fe80::1%", "::ffff:1.2.3.4%1", "01.2.3.4", "1.2.3.4 ", " 1.2.3.4", "localhost", "2001:db8:::1",
    "1.2.3.4, 5.6.7.8", "[::1]", "1.2.3.4:80", "0x7f.1", "2130706433", "\uff11.2.3.4", "::g", "1.2.3.4\n",
]  # fmt: skip


@given(address=V4_ADDRESSES)
def test_an_ipv4_address_is_a_client(address: str) -> None:
    assert PLAIN.clients(address) == (address,)
    assert SITED.clients(address) == (address,)


@given(address=V4_ADDRESSES)
def test_an_ipv4_address_in_ipv6_clothes_is_the_ipv4_client(address: str) -> None:
    assert PLAIN.clients(f"::ffff:{address}") == (address,)
    assert SITED.clients(ipaddress.IPv6Address(f"::ffff:{address}").exploded) == (address,)


@given(address=V6_ADDRESSES, prefix=st.integers(32, 128), shorter=st.integers(16, 127))
def test_an_ipv6_client_is_the_prefix_that_its_owner_has(address: str, prefix: int, shorter: int) -> None:
    wanted = tuple(str(ipaddress.ip_network(f"{address}/{bits}", strict=False)) for bits in (prefix, shorter))
    assert Identity(prefix).clients(address) == wanted[:1]
    assert Identity(prefix, shorter).clients(address) == wanted
    assert Identity(prefix).clients(ipaddress.ip_address(address).exploded.upper()) == wanted[:1]


def test_whoever_hops_inside_a_prefix_stays_one_client() -> None:
    hops = {PLAIN.clients(f"2001:db8:1:2:{each:x}::{each:x}") for each in range(50)}
    assert hops == {("2001:db8:1:2::/64",)}
    sites = {SITED.clients(f"2001:db8:1:{each:x}::1") for each in range(50)}
    assert len(sites) == 50
    assert {site for _, site in sites} == {"2001:db8:1::/48"}


@pytest.mark.parametrize("text", NO_ADDRESSES)
def test_what_is_no_address_is_no_client(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        SITED.clients(text)
    with pytest.raises(ValueError, match=r".+"):
        clients.parse(text)


@given(text=st.text())
def test_any_text_is_an_address_or_refused(text: str) -> None:
    try:
        found = SITED.clients(text)
    except ValueError:
        return
    assert all(clients.canonical(clients.cidr(each)) for each in found)


@pytest.mark.parametrize(
    ("text", "client"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("192.0.2.7/32", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3::4", "2001:db8:1:2::/64"),
        ("2001:DB8:1:2::/64", "2001:db8:1:2::/64"),
        ("2001:0db8:0001:0002:0000:0000:0000:0000/64", "2001:db8:1:2::/64"),
        ("2001:db8:1::/48", "2001:db8:1::/48"),
    ],
)
def test_an_operator_may_name_a_client_by_address_or_by_prefix(text: str, client: str) -> None:
    assert SITED.named(text) == client


@pytest.mark.parametrize(
    "text",
    [
        *(
            "192.0.2.0/24",
            "192.0.2.7/24",
            "192.0.2.7/33",
            "0.0.0.0/0",
            "::/0",
            "2001:db8::/32",
            "2001:db8::1/64",
        ),
        *("2001:db8::1/128", "fe80::1%eth0", "example.com", "", "2001:db8:1:2::/64/64", "/64"),
    ],
)
def test_an_operator_who_names_no_client_is_told_what_one_is(text: str) -> None:
    with pytest.raises(NoClientError) as refused:
        SITED.named(text)
    assert repr(text) in str(refused.value)
    assert str(refused.value).endswith("an IPv4 address, an IPv6 address, or an IPv6 prefix of /64 or /48")


def test_a_site_is_no_client_where_sites_are_not_counted() -> None:
    with pytest.raises(NoClientError, match=r"an IPv6 prefix of /64$"):
        PLAIN.named("2001:db8:1::/48")


@given(address=st.one_of(V4_ADDRESSES, V6_ADDRESSES))
def test_what_a_client_is_called_names_it(address: str) -> None:
    assert all(SITED.named(client) == client for client in SITED.clients(address))


def test_a_family_and_a_cidr_are_read_off_a_client() -> None:
    assert [clients.family(each) for each in ("192.0.2.7", "2001:db8::/64")] == [4, 6]
    assert [clients.cidr(each) for each in ("192.0.2.7", "2001:db8::/64", "2001:db8::7")] == [
        "192.0.2.7/32",
        "2001:db8::/64",
        "2001:db8::7/128",
    ]


@given(address=st.one_of(V4_ADDRESSES, V6_ADDRESSES))
def test_the_site_of_a_client_is_what_its_address_counts_for_besides(address: str) -> None:
    client, *sites = SITED.clients(address)
    assert SITED.site(client) == (sites[0] if sites else None)
    assert [SITED.site(each) for each in sites] == [None] * len(sites), "a site has none of its own"
    assert PLAIN.site(client) is None


@pytest.mark.parametrize(
    ("client", "site"),
    [
        ("2001:db8:1:2::/64", "2001:db8:1::/48"),
        ("2001:db8:1:2::7/128", "2001:db8:1::/48"),
        ("2001:db8:1:2::7", "2001:db8:1::/48"),
        ("2001:db8:1::/48", None),
        ("192.0.2.7", None),
    ],
)
def test_a_site_is_the_shorter_prefix_of_ipv6(client: str, site: str | None) -> None:
    assert SITED.site(client) == site


@pytest.mark.parametrize(
    ("given_", "wanted"),
    [
        ("192.0.2.0/24", "192.0.2.0/24"),
        ("192.0.2.7/32", "192.0.2.7/32"),
        ("192.0.2.7", "192.0.2.7/32"),
        ("2001:0db8:0000:0000:0000:0000:0000:0000/64", "2001:db8::/64"),
        ("2001:DB8::/64", "2001:db8::/64"),
        ("2001:db8::1/128", "2001:db8::1/128"),
    ],
)
def test_a_cidr_has_one_way_to_be_written(given_: str, wanted: str) -> None:
    assert clients.canonical(given_) == wanted
    assert clients.canonical(wanted) == wanted


@pytest.mark.parametrize(
    "text",
    [
        "192.0.2.7/24",
        "2001:db8::1/64",
        "0.0.0.0/0",
        "::/0",
        "192.0.2.0/33",
        "everybody",
        "",
        "1/8",
        "fe80::1%eth0/128",
    ],
)
def test_a_cidr_with_bits_beyond_its_prefix_or_for_everybody_is_none(text: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        clients.canonical(text)


NETWORKS = st.one_of(
    st.builds(
        lambda number, bits: ipaddress.IPv4Network((number, bits), strict=False),
        st.integers(0, 2**32 - 1),
        st.integers(0, 32),
    ),
    st.builds(
        lambda number, bits: ipaddress.IPv6Network((number, bits), strict=False),
        st.integers(0, 2**128 - 1),
        st.integers(0, 128),
    ),
)
Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@given(networks=st.lists(NETWORKS, max_size=8), strangers=st.lists(st.ip_addresses(), max_size=4))
def test_an_address_is_in_networks_where_one_of_them_holds_it(
    networks: list[Network], strangers: list[clients.Address]
) -> None:
    held = Networks(map(str, networks))
    near = [
        edge + step
        for network in networks
        for edge in (network.network_address, network.broadcast_address)
        for step in (-1, 0, 1)
        if 0 <= int(edge) + step < 2**network.max_prefixlen
    ]
    for address in [*strangers, *near]:
        assert (address in held) == any(address in network for network in networks)
    assert bool(held) == bool(networks)


def test_families_do_not_hold_each_other() -> None:
    held = Networks(["0.0.0.0/1", "8000::/1"])
    assert ipaddress.ip_address("::1") not in held
    assert ipaddress.ip_address("200.0.0.1") not in held


def test_networks_of_what_is_none_are_refused() -> None:
    with pytest.raises(ValueError, match=r"."):
        Networks(["192.0.2.7/24"])
