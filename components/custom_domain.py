"""A domain name of one's own in front of a stage: certificate, mutual TLS, DNS records."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import cast

import pulumi
import pulumi_aws as aws

from . import arguments
from .arguments import Problem

DOMAIN = re.compile(r"(?=.{4,64}$)([a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?\.)+[a-z]{2,63}")
ZONE = re.compile(r"Z[A-Z0-9]{1,31}")
CERTIFICATE = re.compile(r"arn:aws[a-z-]*:acm:[a-z0-9-]+:\d{12}:certificate/[\w-]+", re.ASCII)
BASE_PATH = re.compile(r"[A-Za-z0-9._~-]{1,64}")
TRUSTSTORE = re.compile(r"s3://[a-z0-9.-]{3,63}/\S{1,512}")
TLS = "TLS_1_2"
VALIDATION_TTL_SECONDS = 60
KEYS = (
    "certificate_arn", "hosted_zone_id", "base_path", "truststore_uri", "truststore_version",
    "ownership_certificate_arn",
)  # fmt: skip
"""What means nothing without a domain name."""


@dataclass(frozen=True)
class Domain:
    """What a stage's own domain came to."""

    name: pulumi.Output[str]
    target: pulumi.Output[str]
    """The name that DNS has to lead to."""
    target_zone_id: pulumi.Output[str]
    certificate_arn: pulumi.Output[str]


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    found = [
        *arguments.matching(args, "domain_name", DOMAIN, "a domain name in lower case, api.example.com"),
        *arguments.matching(args, "hosted_zone_id", ZONE, "the id of a public hosted zone, Z..."),
        *arguments.matching(
            args, "certificate_arn", CERTIFICATE, "the ARN of a certificate in the stack's Region"
        ),
        *arguments.matching(args, "base_path", BASE_PATH, "one segment of a path"),
        *arguments.matching(args, "truststore_uri", TRUSTSTORE, "s3://BUCKET/KEY of a file of certificates"),
        *arguments.matching(
            args, "ownership_certificate_arn", CERTIFICATE, "the ARN of a public certificate for the domain"
        ),
    ]
    if "domain_name" not in args:
        return [*found, *arguments.without(args, KEYS, "there is no domain_name")]
    if "certificate_arn" not in args and "hosted_zone_id" not in args:
        remedy = "or hosted_zone_id, in which a new one is validated"
        found.append(Problem("certificate_arn", None, "the ARN of a certificate for domain_name", remedy))
    if "truststore_version" in args and "truststore_uri" not in args:
        found += arguments.without(args, ("truststore_version",), "there is no truststore_uri")
    if "ownership_certificate_arn" in args and "truststore_uri" not in args:
        found += arguments.without(args, ("ownership_certificate_arn",), "there is no truststore_uri")
    return found


def create(
    name: str, args: Mapping[str, object], stage: "aws.apigateway.Stage", parent: pulumi.Resource
) -> Domain:
    """Make the domain and everything that it needs.

    The children are ``<name>-domain``, ``<name>-base-path`` and, with a hosted zone, ``<name>-alias-a`` and
    ``<name>-alias-aaaa``; without a certificate also ``<name>-certificate``, ``<name>-validation-record`` and
    ``<name>-validation``.
    """
    opts = pulumi.ResourceOptions(parent=parent)
    zone = cast("pulumi.Input[str] | None", args.get("hosted_zone_id"))
    given = cast("pulumi.Input[str] | None", args.get("certificate_arn"))
    certificate = given if given is not None else _create_certificate(name, args, opts)
    domain = aws.apigateway.DomainName(
        f"{name}-domain",
        domain_name=cast(str, args["domain_name"]),
        regional_certificate_arn=certificate,
        ownership_verification_certificate_arn=cast(
            "pulumi.Input[str] | None", args.get("ownership_certificate_arn")
        ),
        endpoint_configuration={"types": "REGIONAL", "ip_address_type": "dualstack"},
        security_policy=TLS,
        mutual_tls_authentication=_mutual_tls(args),
        opts=opts,
    )
    aws.apigateway.BasePathMapping(
        f"{name}-base-path",
        rest_api=stage.rest_api,
        stage_name=stage.stage_name,
        domain_name=domain.domain_name,
        base_path=cast("str | None", args.get("base_path")),
        opts=opts,
    )
    for kind in ("A", "AAAA") if zone is not None else ():
        aws.route53.Record(
            f"{name}-alias-{kind.lower()}",
            zone_id=cast("pulumi.Input[str]", zone),
            name=domain.domain_name,
            type=kind,
            aliases=[
                {
                    "name": domain.regional_domain_name,
                    "zone_id": domain.regional_zone_id,
                    # It would only fail where API Gateway itself is down ("Configure custom health checks").
                    "evaluate_target_health": False,
                }
            ],
            opts=opts,
        )
    return Domain(
        domain.domain_name,
        domain.regional_domain_name,
        domain.regional_zone_id,
        pulumi.Output.from_input(certificate),
    )


def _mutual_tls(
    args: Mapping[str, object],
) -> "aws.apigateway.DomainNameMutualTlsAuthenticationArgsDict | None":
    if "truststore_uri" not in args:
        return None
    return {
        "truststore_uri": cast(str, args["truststore_uri"]),
        "truststore_version": cast("str | None", args.get("truststore_version")),
    }


def _create_certificate(
    name: str, args: Mapping[str, object], opts: pulumi.ResourceOptions
) -> pulumi.Output[str]:
    """Make a certificate, and show AWS that the domain is ours; return its ARN once that is believed."""
    certificate = aws.acm.Certificate(
        f"{name}-certificate", domain_name=cast(str, args["domain_name"]), validation_method="DNS", opts=opts
    )
    asked = certificate.domain_validation_options[0]
    record = aws.route53.Record(
        f"{name}-validation-record",
        zone_id=cast("pulumi.Input[str]", args["hosted_zone_id"]),
        name=asked.resource_record_name.apply(str),
        type=asked.resource_record_type.apply(str),
        records=[asked.resource_record_value.apply(str)],
        ttl=VALIDATION_TTL_SECONDS,
        # A certificate of the same name in another Region asks for the same record.
        allow_overwrite=True,
        opts=opts,
    )
    return aws.acm.CertificateValidation(
        f"{name}-validation",
        certificate_arn=certificate.arn,
        validation_record_fqdns=[record.fqdn],
        opts=opts,
    ).certificate_arn
