"""Entry of the token authorizer: a bearer token in, a policy that is safe to cache out.

Standard library only, since every request without a cached decision waits for it.
"""

import functools
import json
import os
from collections.abc import Mapping
from typing import TypedDict

from sluice import tokens

DIGESTS_FILE = "token_digests.json"
"""Beside this module in the archive: names to SHA-256 digests. A function's environment would be too small
(4 KB hold about 30)."""
ANONYMOUS = "-"
"""The principal of a caller that is nobody: no token can have this name."""


class TokenRequest(TypedDict):
    """What API Gateway sends to a TOKEN authorizer."""

    type: str
    authorizationToken: str
    methodArn: str


class Decision(TypedDict):
    """What an authorizer answers ("Output from an API Gateway Lambda authorizer")."""

    principalId: str
    policyDocument: dict[str, object]


@functools.cache
def read_digests(folder: str) -> dict[str, str]:
    """Return the digests that were shipped with the function."""
    with open(os.path.join(folder, DIGESTS_FILE), encoding="utf-8") as file:  # noqa: PTH118, PTH123 - a cold start
        known: dict[str, str] = json.load(file)
    return known


def decide(request: TokenRequest, digests: Mapping[str, str]) -> Decision:
    """Allow the whole stage to the holder of a known token, and deny it to everybody else.

    The decision is cached under the token alone and then serves every method, so it names the stage and not
    the method asked for. A denial is an answer, not an exception: it is cached too, and a guessing client
    does not look like a broken function.
    """
    scheme, _, token = request["authorizationToken"].partition(" ")
    name = tokens.owner(token, digests) if scheme == "Bearer" else None
    return {
        "principalId": name or ANONYMOUS,
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow" if name else "Deny",
                    "Resource": f"{stage_arn(request['methodArn'])}/*",
                }
            ],
        },
    }


def stage_arn(method_arn: str) -> str:
    """Return the ARN of the stage that a method's ARN belongs to."""
    return "/".join(method_arn.split("/", 2)[:2])


def handler(event: TokenRequest, _context: object) -> Decision:
    """Answer API Gateway, and log the decision (never the token)."""
    known = read_digests(os.path.dirname(__file__))  # noqa: PTH120 - a cold start
    decision = decide(event, known)
    allowed = decision["principalId"] in known
    print(json.dumps({"decision": "allow" if allowed else "deny", "principal": decision["principalId"]}))  # noqa: T201
    return decision
