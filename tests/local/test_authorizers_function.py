"""Callers whom a function of one's own decides about, and doors that are open to all."""

import io
import json
import secrets
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass

import pytest

from local.callers import Tenant
from local.client import JSON
from local.stack import LocalAws, LocalStack
from local.surroundings import EXAMPLE, EXAMPLE_HANDLER, zipped
from sluice import tokens

from .deciding import Watch, assert_denied, create_function, logged_principals
from .doors import Door, open_door
from .support import Reply, assert_refused, call, fresh

ACME, SHOP = (Tenant(name, secrets.token_hex(32)) for name in ("acme", "shop"))
TENANT, KEY = ACME.headers()


@dataclass(frozen=True)
class Decided:
    """A door, and what its function logs."""

    door: Door
    log: str

    def watch(self) -> Watch:
        """Begin to look at the log."""
        return Watch.over(self.door, self.log)

    def send(self, headers: Mapping[str, str], path: str = "notes", method: str = "POST") -> Reply:
        """Send a request."""
        return self.door.send(path, headers=headers, method=method)

    def arrived(self, reply: Reply) -> dict[str, str]:
        """Return the attributes of the message that an answer names."""
        return self.door.arrived("kept", reply)


@pytest.fixture(scope="module")
def tenants(cloud: LocalAws) -> Decided:
    """The stack whose function knows tenants by two headers; it knows two of them."""
    known = {each.name: tokens.digest(each.key) for each in (ACME, SHOP)}
    arn, log = create_function(cloud, zipped(EXAMPLE), EXAMPLE_HANDLER, {"TENANT_KEYS": json.dumps(known)})
    stack = fresh(
        cloud,
        "function",
        authorizer={"function_arn": arn},
        front_door={
            "queues": [{"name": "drained"}, {"name": "kept"}],
            "routes": [
                {
                    "path": path,
                    "method": method,
                    "queue": "kept",
                    "attributes": {"tenant": "context.authorizer.tenant"},
                }
                for path, method in (("notes", "POST"), ("notes", "PUT"), ("others", "POST"))
            ],
        },
    )
    return Decided(Door(cloud, stack), log)


def test_a_tenant_with_its_key_is_let_in_and_known(tenants: Decided) -> None:
    replies = [tenants.send(each.headers()) for each in (ACME, SHOP)]

    assert [each.status for each in replies] == [202, 202]
    for reply, tenant in zip(replies, (ACME, SHOP), strict=True):
        told = tenants.arrived(reply)
        assert (told["principal"], told["tenant"]) == (tenant.name, tenant.name)
    assert logged_principals(tenants.door, *replies) == [None, None], "a function may say anything"


WRONG: Mapping[str, Mapping[str, str]] = {
    "another key": {TENANT: ACME.name, KEY: secrets.token_hex(32)},
    "another tenant's key": {TENANT: ACME.name, KEY: SHOP.key},
    "another tenant's name": {TENANT: SHOP.name, KEY: ACME.key},
    "an unknown tenant": {TENANT: "nobody", KEY: ACME.key},
    "a half key": {TENANT: ACME.name, KEY: ACME.key[:32]},
    "a digest": {TENANT: ACME.name, KEY: tokens.digest(ACME.key)},
    "8 KB": {TENANT: ACME.name, KEY: "x" * 8192},
    "no ASCII": {TENANT: "acm\u00c3\u00a9", KEY: ACME.key},
    "exchanged": {TENANT: ACME.key, KEY: ACME.name},
}


@pytest.mark.parametrize("headers", WRONG.values(), ids=WRONG)
def test_another_tenant_or_key_is_refused(tenants: Decided, headers: Mapping[str, str]) -> None:
    # What is kept for who may call is nobody else's.
    for each in (ACME, SHOP):
        assert tenants.send(each.headers()).status == 202
    watch = tenants.watch()

    assert_denied(tenants.send(headers))
    assert_denied(tenants.send(headers, "others"))

    assert watch.lines(1) == [{"tenant": None, "decision": "deny"}], "the refusal is kept"


MISSING: Mapping[str, Mapping[str, str]] = {
    "both": {},
    "the key": {TENANT: ACME.name},
    "the tenant": {KEY: ACME.key},
    "what the key is": {TENANT: ACME.name, KEY: ""},
    "what the tenant is": {TENANT: "", KEY: ACME.key},
    "the right headers": {"Authorization": f"Bearer {ACME.key}"},
}


@pytest.mark.parametrize("headers", MISSING.values(), ids=MISSING)
def test_who_lacks_a_part_is_asked_for_it_and_nobody_is_asked_about_it(
    tenants: Decided, headers: Mapping[str, str]
) -> None:
    watch = tenants.watch()

    reply = tenants.send(headers)

    assert_refused(reply, 401, "UNAUTHORIZED")
    assert reply.answer["message"] == "What says who calls is missing."
    assert "www-authenticate" not in reply.headers
    assert not watch.lines(0)


def test_a_decision_is_kept_for_one_tenant_with_its_key_and_serves_all_its_requests(tenants: Decided) -> None:
    places = [("notes", "POST"), ("notes", "PUT"), ("others", "POST")]
    for each in (ACME, SHOP):
        assert tenants.send(each.headers()).status == 202
    watch = tenants.watch()

    for tenant in (ACME, SHOP, ACME):
        replies = [tenants.send(tenant.headers(), *each) for each in places]
        assert [tenants.arrived(each)["tenant"] for each in replies] == [tenant.name] * len(places)

    assert not watch.lines(0)


def test_two_headers_of_a_name_let_nobody_in_as_somebody_else(tenants: Decided) -> None:
    acme, shop = (f"{TENANT}: {each.name}" for each in (ACME, SHOP))
    key = f"{KEY}: {ACME.key}"
    shown = [[acme, shop, key], [shop, acme, key], [acme, key, f"{KEY}: {SHOP.key}"]]

    replies = [tenants.door.send_raw("notes", [*lines, f"Content-Type: {JSON}"]) for lines in shown]

    assert {each.status for each in replies} <= {202, 403}
    for reply in replies:
        if reply.status == 202:
            assert tenants.arrived(reply)["tenant"] == ACME.name, "whose key was shown"
    assert tenants.arrived(tenants.send(SHOP.headers()))["tenant"] == SHOP.name


NARROW = """
import json

def handler(event, context):
    print(json.dumps({"asked": event["methodArn"].partition("/")[2]}))
    statement = {"Action": "execute-api:Invoke", "Effect": "Allow", "Resource": event["methodArn"]}
    return {
        "principalId": 'a"b',
        "policyDocument": {"Version": "2012-10-17", "Statement": [statement]},
        "context": {"number": 7, "quoted": '"&Action=DeleteQueue'},
    }
"""
"""Decides about the one method that was asked for."""


@pytest.fixture(scope="module")
def narrow(cloud: LocalAws) -> Decided:
    """A door whose function looks at the Authorization header, and lets in for one method alone."""
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w") as archive:
        archive.writestr("narrow.py", NARROW)
    arn, log = create_function(cloud, target.getvalue(), "narrow.handler", {})
    door = open_door(
        cloud,
        {
            "queues": [{"name": "drained"}, {"name": "kept"}],
            "routes": [
                {
                    "path": path,
                    "method": method,
                    "queue": "kept",
                    "attributes": {
                        "number": "context.authorizer.number",
                        "quoted": "context.authorizer.quoted",
                    },
                }
                for path, method in (("notes", "POST"), ("notes", "PUT"), ("others", "POST"))
            ],
        },
        authorizer={"kind": "function", "function_arn": arn},
    )
    return Decided(door, log)


def test_a_policy_that_names_one_method_lets_in_there_alone_while_it_is_kept(narrow: Decided) -> None:
    watch, shown = narrow.watch(), {"Authorization": "any words"}

    assert [narrow.send(shown).status for _ in range(2)] == [202, 202]
    assert_denied(narrow.send(shown, method="PUT"))
    assert_denied(narrow.send(shown, "others"))
    assert narrow.send(shown).status == 202

    assert watch.lines(1) == [{"asked": "v1/POST/notes"}]
    assert narrow.send({"Authorization": "other words"}, method="PUT").status == 202


def test_what_a_function_says_goes_on_and_breaks_no_line_of_the_log(narrow: Decided) -> None:
    reply = narrow.send({"Authorization": "any words"})

    assert reply.status == 202
    told = narrow.arrived(reply)
    assert (told["principal"], told["number"], told["quoted"]) == ('a"b', "7", '"&Action=DeleteQueue')
    assert logged_principals(narrow.door, reply) == [None]


@pytest.mark.parametrize(
    "headers",
    [{}, {"Authorization": ""}, {"Authorization": "Bearer x"}, ACME.headers()],
    ids=["nothing", "empty", "a token", "a key"],
)
def test_a_door_that_is_open_asks_nobody(
    cloud: LocalAws, door: LocalStack, headers: Mapping[str, str]
) -> None:
    reply = call(door.outputs["url"], headers=headers)

    assert reply.status == 202
    assert logged_principals(Door(cloud, door), reply) == [None]
    assert door.outputs["authorizer_function"] is None
