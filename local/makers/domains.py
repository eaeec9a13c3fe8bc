"""Makers for an API's own domain name: its certificate, its DNS records and what it leads to.

The emulator has no DNS and no TLS; the edge finds a domain by the Host header.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from .compute import LocalSetupError
from .gateway_stage import check_stage
from .registry import Inputs, Outputs, Workshop, makes

if TYPE_CHECKING:
    from mypy_boto3_acm.type_defs import CertificateDetailTypeDef

DNS = "DNS"
ISSUED = "ISSUED"


@makes("aws:acm/certificate:Certificate")
def certificate(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Ask for a certificate; the emulator issues it at once."""
    arn = workshop.aws.client("acm").request_certificate(
        **inputs.pick(
            DomainName="domainName",
            ValidationMethod="validationMethod",
            SubjectAlternativeNames="subjectAlternativeNames",
        )
    )["CertificateArn"]
    return arn, {"arn": arn, "domainValidationOptions": _validation_options(_described(workshop, arn))}


def _validation_options(described: "CertificateDetailTypeDef") -> list[Outputs]:
    return [
        {
            "domainName": each["DomainName"],
            "resourceRecordName": each["ResourceRecord"]["Name"],
            "resourceRecordType": each["ResourceRecord"]["Type"],
            "resourceRecordValue": each["ResourceRecord"]["Value"],
        }
        for each in described["DomainValidationOptions"]
    ]


@makes("aws:acm/certificateValidation:CertificateValidation")
def certificate_validation(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Check that a certificate's records are those that Certificate Manager would wait for."""
    arn: str = inputs["certificateArn"]
    wanted = {each["resourceRecordName"] for each in _validation_options(_described(workshop, arn))}
    given = set(inputs.get("validationRecordFqdns", []))
    if missing := {_bare(each) for each in wanted} - {_bare(each) for each in given}:
        raise LocalSetupError(f"{arn} would wait for ever for the records {', '.join(sorted(missing))}")
    return arn, {}


def _described(workshop: Workshop, arn: str) -> "CertificateDetailTypeDef":
    return workshop.aws.client("acm").describe_certificate(CertificateArn=arn)["Certificate"]


@makes("aws:route53/record:Record")
def record(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a DNS record in a zone that exists."""
    zone, name = inputs["zoneId"], _bare(inputs["name"])
    described: dict[str, Any] = {"Name": name, **inputs.pick(Type="type", TTL="ttl")}
    if "records" in inputs:
        described["ResourceRecords"] = [{"Value": each} for each in inputs["records"]]
    if "aliases" in inputs:
        described["AliasTarget"] = _alias(inputs["aliases"])
    workshop.aws.client("route53").change_resource_record_sets(
        HostedZoneId=zone,
        ChangeBatch={
            "Changes": [
                {
                    "Action": "UPSERT" if inputs.get("allowOverwrite") else "CREATE",
                    "ResourceRecordSet": described,  # type: ignore[typeddict-item]  # only what was given
                }
            ]
        },
    )
    return f"{zone}_{name}_{inputs['type']}", {"fqdn": name}


def _alias(given: list[Mapping[str, Any]]) -> dict[str, Any]:
    (alias,) = given
    return {
        "DNSName": alias["name"],
        "HostedZoneId": alias["zoneId"],
        "EvaluateTargetHealth": alias["evaluateTargetHealth"],
    }


@makes("aws:apigateway/domainName:DomainName")
def domain_name(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Make a domain name, if its certificate is for it; nobody is asked for a certificate here."""
    domain: str = inputs["domainName"]
    _check_certificate(workshop, inputs["regionalCertificateArn"], domain)
    endpoint = inputs["endpointConfiguration"]
    made = workshop.aws.client("apigateway").create_domain_name(
        domainName=domain,
        endpointConfiguration={"types": [endpoint["types"]], "ipAddressType": endpoint["ipAddressType"]},
        **inputs.pick(
            regionalCertificateArn="regionalCertificateArn",
            securityPolicy="securityPolicy",
            mutualTlsAuthentication="mutualTlsAuthentication",
            ownershipVerificationCertificateArn="ownershipVerificationCertificateArn",
        ),
    )
    return domain, {
        "arn": f"arn:aws:apigateway:{workshop.aws.region}::/domainnames/{domain}",
        "regionalDomainName": made["regionalDomainName"],
        "regionalZoneId": made["regionalHostedZoneId"],
    }


def _check_certificate(workshop: Workshop, arn: str, domain: str) -> None:
    """Refuse a certificate that is not there, not issued or for other names."""
    acm = workshop.aws.client("acm")
    try:
        described = _described(workshop, arn)
    except acm.exceptions.ResourceNotFoundException as error:
        raise LocalSetupError(f"API Gateway finds no certificate {arn}") from error
    if described["Status"] != ISSUED:
        raise LocalSetupError(f"the certificate {arn} is not issued")
    names = {described["DomainName"], *described.get("SubjectAlternativeNames", [])}
    if not names & {domain, f"*.{domain.partition('.')[2]}"}:
        raise LocalSetupError(f"the certificate {arn} does not cover {domain}")


@makes("aws:apigateway/basePathMapping:BasePathMapping")
def base_path_mapping(workshop: Workshop, _name: str, inputs: Inputs) -> tuple[str, Outputs]:
    """Say which stage a domain name leads to."""
    check_stage(workshop, inputs["restApi"], inputs["stageName"])
    workshop.aws.client("apigateway").create_base_path_mapping(
        **inputs.pick(domainName="domainName", restApiId="restApi", stage="stageName", basePath="basePath")
    )
    return f"{inputs['domainName']}/{inputs.get('basePath', '')}", {}


def _bare(name: str) -> str:
    return name.removesuffix(".")
