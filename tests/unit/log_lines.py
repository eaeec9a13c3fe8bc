"""Lines of the access log as API Gateway writes them."""

import json

from sluice.access_log import FIELDS

VALUES = {
    "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
    "ip": "192.0.2.7",
    "time": "1750000000000",
    "method": "POST",
    "route": "/messages",
    "status": "202",
    "waf": "WAF_ALLOW",
    "latency": "12",
    "backend": "200",
    "principal": "-",
}


def log_line(ip: str = VALUES["ip"], time: int | str = VALUES["time"], **values: str) -> str:
    """Return a line with some of its values."""
    assert VALUES.keys() == FIELDS.keys()
    return json.dumps({**VALUES, "ip": ip, "time": str(time), **values}, separators=(",", ":"))
