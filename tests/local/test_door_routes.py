"""Where requests go: paths, methods and the queues behind them."""

import pytest

from local import demo_checks
from local.demo_checks import wait_until

from .doors import Door
from .support import assert_refused


def test_a_route_that_names_no_queue_sends_to_the_first(shop: Door) -> None:
    reply = shop.send("events", {"n": 1})

    assert reply.status == 202
    handled = wait_until(
        lambda: demo_checks.recorded(shop.cloud, shop.stack),
        lambda found: reply.answer["messageId"] in {message_id for message_id, _ in found},
    )
    assert reply.answer["messageId"] in {message_id for message_id, _ in handled}


def test_routes_of_one_queue_and_of_others_do_not_mix(shop: Door) -> None:
    plain = [shop.send("plain", {"to": "plain"}), shop.send("things/7", {"to": "plain"}, method="PUT")]
    order = shop.send("shops/berlin/orders/1", {"to": "orders"})

    taken = shop.take_all("plain", [each.answer["messageId"] for each in plain])
    assert [each["Body"] for each in taken] == ['{"to": "plain"}'] * 2
    assert shop.take("orders", order)["Body"] == '{"to": "orders"}'
    assert shop.receive("plain") == shop.receive("orders") == shop.receive("strict") == []


def test_two_methods_of_one_path_are_two_routes(shop: Door) -> None:
    put, patch = (shop.send("things/7", method=method) for method in ("PUT", "PATCH"))

    attributes = [set(shop.arrived("plain", each)) for each in (put, patch)]
    assert attributes == [{"requestId", "sourceIp", "id"}, {"requestId", "sourceIp", "was"}]


def test_parameters_at_any_depth_are_read(shop: Door) -> None:
    reply = shop.send("shops/berlin/orders/o-1")

    arrived = shop.arrived("orders", reply)
    assert (arrived["shop"], arrived["order"]) == ("berlin", "o-1")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "events"),
        ("PUT", "events"),
        ("DELETE", "events"),
        ("OPTIONS", "events"),
        ("POST", "things/7"),
        ("GET", "things/7"),
        ("PATCH", "shops/berlin/orders/1"),
        ("POST", "health"),
        ("POST", "shops"),
        ("POST", "shops/berlin"),
        ("POST", "shops/berlin/orders"),
        ("POST", "shops/berlin/orders/1/2"),
        ("POST", "things"),
        ("POST", ""),
        ("GET", ""),
        ("POST", "EVENTS"),
        ("POST", "%7Bid%7D"),
    ],
)
def test_another_method_or_path_is_refused_in_our_shape(shop: Door, method: str, path: str) -> None:
    reply = shop.send(path, method=method)

    assert_refused(reply, 403, "MISSING_AUTHENTICATION_TOKEN")
    assert reply.answer["requestId"] == reply.headers["x-amzn-requestid"]
    shop.assert_silent(reply)


def test_each_route_has_its_own_success_status(shop: Door) -> None:
    statuses = [shop.send(f"with-{status}").status for status in (200, 201, 204)]

    assert statuses == [200, 201, 204]
    assert len({each["MessageId"] for each in shop.receive("plain")}) == 3
