"""What callers may send and SQS may answer, at its worst."""

import json
from typing import Any

from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

from local.standin.velocity import Request

WORST = [
    "a&b=c+d%20e",
    "&MessageBody=other&Action=DeleteQueue",
    "&MessageAttribute.1.Value.StringValue=forged",
    "%26Action%3DPurgeQueue",
    'he said "no", ""twice""',
    "it's",
    "\U0001f600 \u00e9\u4e2d\u202e\x00\x1f\x7f\u2028",
    "one\ntwo\r\nthree\ttab",
    "#set($context.requestId = 'x')#stop",
    "#if(true)yes#end ## comment #* block *# #[[ raw ]]#",
    "$input.body $context.requestId ${n} $!x \\$y $value $headers.put('a', 'b')",
    "$util.urlDecode('%26')",
    "\\",
    "\\u0022",
    "{}",
    "[]",
    "null",
    "false",
    "0",
    " ",
    "",
]
NAMES = [
    "X-Tenant",
    "X-Order-Id",
    "Content-Type",
    "page",
    "id",
    "tenant",
    "user",
    "order",
    "lines",
    "order-id",
    # What a map has methods of.
    "get",
    "put",
    "size",
    "keySet",
    "class",
    "empty",
    "toString",
    "#if(true)",
]
"""Of headers, parameters and members: those that the templates read, and some that are in the way."""

texts = st.text() | st.sampled_from(WORST) | st.lists(st.sampled_from(WORST)).map("".join)
names = st.sampled_from(NAMES) | st.from_regex(r"[A-Za-z0-9!#$&'*+.^_`|~-]{1,12}", fullmatch=True)
parameters = st.dictionaries(names, texts, max_size=6)
scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63)
    | st.integers(-(10**6), 10**6).map(lambda hundredths: hundredths / 100)
    | texts
    # Halves of surrogate pairs, which JSON can escape and no encoding can carry.
    | st.text(st.sampled_from("\ud83d\ude00a"), min_size=1, max_size=3)
)
values = st.recursive(
    scalars,
    lambda each: (
        st.lists(each, max_size=4) | st.dictionaries(st.sampled_from(NAMES) | texts, each, max_size=6)
    ),
    max_leaves=12,
)
objects = st.dictionaries(st.sampled_from(NAMES), values, max_size=6)


def bodies(valid: SearchStrategy[Any]) -> SearchStrategy[str]:
    """Return bodies that are JSON of some values, as one client or another writes it."""
    layouts = st.sampled_from([{}, {"indent": 1}, {"separators": (",", ":")}])
    return st.builds(lambda value, layout: json.dumps(value, **layout), valid, layouts)


any_body = bodies(objects) | bodies(values) | texts


@st.composite
def requests(draw: st.DrawFn, body: SearchStrategy[str] = any_body) -> Request:
    """Return requests, of which no header comes twice."""
    headers = {name.lower(): (name, value) for name, value in draw(parameters).items()}
    in_path = draw(st.fixed_dictionaries({}, optional={"id": texts, "user": texts}))
    return Request(draw(body), dict(headers.values()), draw(parameters), in_path)


claims = st.fixed_dictionaries({}, optional={"sub": texts, "email": texts, "cognito:username": texts})
"""Of a user of Cognito's; API Gateway hands them on as texts."""


@st.composite
def contexts(draw: st.DrawFn) -> dict[str, Any]:
    """Return ``$context``: what API Gateway says of a request, and what authorizer and caller say there."""
    addresses = st.sampled_from(["203.0.113.7", "2001:db8::1"])
    agents = {"userAgent": texts, "apiKeyId": texts}
    signers = {"caller": st.just("AROAEXAMPLE:ci"), "userArn": texts}
    return {
        "requestId": "c6af9ac6-7b61-11e6-9a41-93e8deadbeef",
        "identity": {"sourceIp": draw(addresses)}
        | draw(st.fixed_dictionaries({}, optional=agents | signers)),
        "authorizer": draw(
            st.fixed_dictionaries(
                {},
                optional={"principalId": texts, "tenant": texts, "clientIp": addresses, "claims": claims},
            )
        ),
        **draw(
            st.fixed_dictionaries(
                {},
                optional={
                    "domainName": st.just("api.example.com"),
                    "httpMethod": st.just("POST"),
                    "requestTimeEpoch": st.integers(10**12, 2 * 10**12),
                    "resourcePath": st.just("/orders/{id}"),
                    "stage": st.just("v1"),
                    "xrayTraceId": st.just("1-5759e988-bd862e3fe1be46a994272793"),
                },
            )
        ),
    }
