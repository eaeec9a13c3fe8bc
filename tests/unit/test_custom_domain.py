from typing import Any

import pulumi
import pytest

from components import custom_domain

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0a1b2c3d-4e5f"
ZONE = "Z0123456789ABCDEFGHIJ"
TRUST = "s3://example-trust/clients.pem"
NAME: dict[str, Any] = {"domain_name": "api.example.com"}
DOMAIN: dict[str, Any] = {**NAME, "certificate_arn": CERTIFICATE}
LABEL = "a" * 63


def wrong(args: dict[str, Any]) -> list[str]:
    return [each.path for each in custom_domain.problems(args)]


@pytest.mark.parametrize(
    "args",
    [
        {},
        DOMAIN,
        {**NAME, "hosted_zone_id": ZONE},
        {**DOMAIN, "hosted_zone_id": ZONE},
        {**DOMAIN, "certificate_arn": CERTIFICATE.replace("aws", "aws-us-gov", 1)},
        *(
            {**DOMAIN, "domain_name": name}
            for name in ("a.io", "a-1.b-2.example.com", "xn--bcher-kva.example")
        ),
        {**DOMAIN, "domain_name": f"{LABEL[:60]}.com"},
        *({**DOMAIN, "base_path": path} for path in ("v1", "a.b_c~d-E", "x" * 64)),
        {**DOMAIN, "truststore_uri": TRUST},
        {**DOMAIN, "truststore_uri": TRUST, "truststore_version": "3"},
        {**DOMAIN, "truststore_uri": TRUST, "ownership_certificate_arn": CERTIFICATE},
    ],
)
def test_good_arguments_have_no_problem(args: dict[str, Any]) -> None:
    assert not wrong(args)


@pytest.mark.parametrize("key", ["certificate_arn", "hosted_zone_id"])
def test_what_another_part_of_a_program_makes_is_taken(key: str, output: pulumi.Output[str]) -> None:
    assert not wrong({**NAME, key: output})


@pytest.mark.parametrize(
    ("args", "paths"),
    [
        *(
            ({**DOMAIN, "domain_name": name}, ["domain_name"])
            for name in (
                "example",
                "API.example.com",
                "*.example.com",
                "a..com",
                "-a.com",
                "a-.com",
                "a.c",
                5,
            )
        ),
        *(
            ({**DOMAIN, "domain_name": name}, ["domain_name"])
            for name in (
                "https://a.com",
                "a.com/",
                "a.com.",
                "a_b.com",
                "a.com\n",
                f"{LABEL}x.com",
                f"{LABEL}.com",
            )
        ),
        *(({**NAME, "hosted_zone_id": zone}, ["hosted_zone_id"]) for zone in ("example.com", "z0123", "", 5)),
        (NAME, ["certificate_arn"]),
        ({**NAME, "certificate_arn": "arn:aws:iam::123456789012:server-certificate/x"}, ["certificate_arn"]),
        *(
            ({**DOMAIN, "base_path": path}, ["base_path"])
            for path in ("", "/v1", "v1/", "a/b", "a b", "x" * 65)
        ),
        *(
            ({**DOMAIN, "truststore_uri": uri}, ["truststore_uri"])
            for uri in ("clients.pem", "https://example.com/clients.pem", "s3://example-trust", "s3://a/b")
        ),
        ({**DOMAIN, "truststore_version": "3"}, ["truststore_version"]),
        ({**DOMAIN, "ownership_certificate_arn": CERTIFICATE}, ["ownership_certificate_arn"]),
        (
            {**DOMAIN, "truststore_uri": TRUST, "ownership_certificate_arn": "x"},
            ["ownership_certificate_arn"],
        ),
        ({"truststore_uri": TRUST, "base_path": "v1"}, ["base_path", "truststore_uri"]),
    ],
)
def test_what_is_wrong_with_a_domain_is_named(args: dict[str, Any], paths: list[str]) -> None:
    assert wrong(args) == paths


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("certificate_arn", CERTIFICATE),
        ("hosted_zone_id", ZONE),
        ("base_path", "v1"),
        ("truststore_uri", TRUST),
        ("truststore_version", "3"),
        ("ownership_certificate_arn", CERTIFICATE),
    ],
)
def test_without_a_domain_nothing_of_one_means_anything(key: str, value: str) -> None:
    assert wrong({key: value}) == [key]


def test_a_domain_without_a_certificate_is_told_both_ways_to_one() -> None:
    (problem,) = custom_domain.problems(NAME)
    assert "hosted_zone_id" in problem.remedy
