"""What the limiter's two functions may do, besides writing their logs."""

from collections.abc import Mapping

from . import policies


def ingest_statements(known: Mapping[str, str | None]) -> list[policies.Statement]:
    """Return what the function that counts may do, besides writing its log."""
    key = known["key"]
    return [
        policies.Statement(
            ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"], [str(known["counters"])]
        ),
        policies.Statement(
            ["dynamodb:PutItem", "dynamodb:Query", "dynamodb:UpdateItem"], [str(known["blocks"])]
        ),
        *policies.table_key_use(key),
        *policies.keep_objects(str(known["dead_letters"])),
    ]


def enforcer_statements(known: Mapping[str, str | None], set_arns: list[str]) -> list[policies.Statement]:
    """Return what the function that writes the IP sets may do, besides writing its log."""
    key = known["key"]
    return [
        policies.Statement(["dynamodb:BatchGetItem"], [str(known["counters"])]),
        policies.Statement(
            [
                "dynamodb:DeleteItem", "dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:Query",
                "dynamodb:UpdateItem",
            ],
            [str(known["blocks"])],
        ),
        policies.read_stream(str(known["stream"])),
        policies.Statement(["wafv2:GetIPSet", "wafv2:UpdateIPSet"], set_arns),
        policies.drain_queue(str(known["queue"])),
        policies.Statement(["sqs:SendMessage"], [str(known["queue"])]),
        *policies.table_key_use(key),
        *policies.keep_objects(str(known["dead_letters"])),
    ]  # fmt: skip
