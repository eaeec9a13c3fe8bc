"""An authorizer of one's own: a tenant's name and key in two headers.

It is a REQUEST authorizer with both headers as identity sources, so that a decision is kept for exactly this
tenant with exactly this key.
"""

import hashlib
import hmac
import json
import os
from typing import Any

KNOWN: dict[str, str] = json.loads(os.environ.get("TENANT_KEYS", "{}"))
"""The SHA-256 digest of each tenant's key, by the tenant's name."""
NOBODY = "0" * 64
"""As long as a digest, so that the time taken tells no names."""


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    """Let a tenant in who shows its key, and tell integrations which one it is."""
    headers = {name.lower(): values for name, values in event["multiValueHeaders"].items()}
    tenant, key = (",".join(headers.get(name, [])) for name in ("x-tenant", "x-tenant-key"))
    allowed = hmac.compare_digest(
        hashlib.sha256(key.encode(errors="surrogatepass")).hexdigest(), KNOWN.get(tenant, NOBODY)
    )
    decision = "allow" if allowed else "deny"
    print(json.dumps({"tenant": tenant if allowed else None, "decision": decision}))  # noqa: T201
    stage = "/".join(event["methodArn"].split("/", 2)[:2])
    return {
        "principalId": tenant if allowed else "-",
        "policyDocument": {
            "Version": "2012-10-17",
            "Statement": [
                {
                    "Action": "execute-api:Invoke",
                    "Effect": "Allow" if allowed else "Deny",
                    # The whole stage: the decision is kept, and serves the next method as well.
                    "Resource": f"{stage}/*",
                }
            ],
        },
        "context": {"tenant": tenant} if allowed else {},
    }
