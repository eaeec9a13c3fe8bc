from unittest.mock import Mock

import pytest

from local.domains import Place, Target, base_path, locate, read_domains

SHOP, OLD, ROOT = Target("shop", "v1"), Target("shop", "v0"), Target("site", "v1")
DOMAINS = {
    "api.example.com": {"shop": SHOP, "shop/old": OLD},
    "all.example.com": {"": ROOT, "shop": SHOP},
    "none.example.com": {},
}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/abc/v1/orders/7", ("abc", "v1", "/orders/7", "")),
        ("/abc/v1/", ("abc", "v1", "/", "")),
        ("/abc/v1", ("abc", "v1", "/", "")),
        ("/abc/v1?a=/b", ("abc", "v1", "/", "?a=/b")),
        ("/abc/v1/a?b=c?d", ("abc", "v1", "/a", "?b=c?d")),
        ("/abc/v1//a%2Fb/", ("abc", "v1", "//a%2Fb/", "")),
    ],
)
def test_a_path_names_the_api_and_its_stage(target: str, expected: tuple[str, str, str, str]) -> None:
    api, stage, path, query = expected

    assert locate(DOMAINS, "127.0.0.1:80", target) == Place(Target(api, stage), path, query)


@pytest.mark.parametrize("target", ["", "/", "/abc", "/abc/", "//v1/a", "/abc//a", "?a=/b/c"])
def test_where_no_stage_is_named_there_is_no_place(target: str) -> None:
    assert locate(DOMAINS, "127.0.0.1", target) is None


@pytest.mark.parametrize(
    ("host", "path", "target", "rest"),
    [
        ("api.example.com", "/shop/orders/7", SHOP, "/orders/7"),
        ("API.Example.com:443", "/shop/orders/7", SHOP, "/orders/7"),
        ("api.example.com", "/shop", SHOP, "/"),
        ("api.example.com", "/shop/", SHOP, "/"),
        ("api.example.com", "/shop/old/orders", OLD, "/orders"),
        ("api.example.com", "/shop/older", SHOP, "/older"),
        ("all.example.com", "/shop/a", SHOP, "/a"),
        ("all.example.com", "/shopping", ROOT, "/shopping"),
        ("all.example.com", "/", ROOT, "/"),
    ],
)
def test_a_custom_domain_serves_what_is_mapped_by_the_longest_base_path(
    host: str, path: str, target: Target, rest: str
) -> None:
    place = locate(DOMAINS, host, f"{path}?q")

    assert place
    assert (place.target, place.path, place.query) == (target, rest, "?q")
    assert place.domain == host.partition(":")[0].lower()


@pytest.mark.parametrize(
    ("host", "path"),
    [
        ("api.example.com", "/"),
        ("api.example.com", "/shopping/orders"),
        ("api.example.com", "/other/shop"),
        ("none.example.com", "/shop/v1/orders"),
    ],
)
def test_a_custom_domain_serves_nothing_else(host: str, path: str) -> None:
    assert locate(DOMAINS, host, path) is None


def test_a_host_that_is_no_custom_domain_does_not_count() -> None:
    assert locate(DOMAINS, "other.example.com", "/shop/v1/a") == Place(SHOP, "/a", "")


def test_the_emulator_is_asked_by_the_stage_and_the_rest() -> None:
    place = locate(DOMAINS, "api.example.com", "/shop/a%2Fb?c=%20")

    assert place
    assert (place.inside, place.shown, place.decoded) == ("/shop/v1/a%2Fb?c=%20", "/shop/a%2Fb", "/a/b")


def test_a_path_is_shown_with_its_stage_where_there_is_no_domain() -> None:
    assert Place(SHOP, "/a", "?b").shown == "/v1/a"


@pytest.mark.parametrize(("told", "expected"), [("(none)", ""), ("", ""), ("shop", "shop"), ("a/b", "a/b")])
def test_no_base_path_has_a_name_of_its_own(told: str, expected: str) -> None:
    assert base_path(told) == expected


def test_domains_are_read_with_their_mappings() -> None:
    gateway = Mock()
    gateway.get_domain_names.return_value = {"items": [{"domainName": "API.example.com"}]}
    gateway.get_base_path_mappings.return_value = {
        "items": [{"basePath": "(none)", "restApiId": "site", "stage": "v1"}]
    }

    assert read_domains(Mock(client=Mock(return_value=gateway))) == {"api.example.com": {"": ROOT}}
