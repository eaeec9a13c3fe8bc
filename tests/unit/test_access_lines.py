from typing import Any
from unittest.mock import Mock

import pytest

from local.access_lines import AccessLines, flat, log_line


def test_a_context_is_flattened_to_dotted_names() -> None:
    assert flat({"a": 1, "b": {"c": {"d": "e"}, "f": None}, "g": {}}) == {"a": "1", "b.c.d": "e"}


def test_a_log_line_holds_bare_values() -> None:
    line = log_line(
        '{"ip":"$context.identity.sourceIp","n":$context.status}',
        {"identity": {"sourceIp": "::1"}, "status": 202},
    )
    assert line == '{"ip":"::1","n":202}'


@pytest.mark.parametrize("context", [{}, {"waf": None}, {"waf": ""}, {"waf": {}}])
def test_what_is_absent_is_a_dash(context: dict[str, Any]) -> None:
    assert log_line("$context.waf.", context) == "-."


def test_the_longest_name_is_taken() -> None:
    assert log_line("$context.a.b, $context.ab.", {"a": {"b": 1}, "ab": 2}) == "1, 2."


class GoneError(Exception):
    """The group was deleted."""


def lines_and_logs() -> tuple[AccessLines, Mock]:
    logs = Mock()
    logs.exceptions.ResourceNotFoundException = GoneError
    return AccessLines(Mock(client=Mock(return_value=logs)), "edge-1"), logs


def test_lines_wait_by_group_until_they_are_taken() -> None:
    lines, _ = lines_and_logs()
    lines.add("/a", "1")
    lines.add("/b", "2")
    lines.add("/a", "3")

    taken = {group: [each["message"] for each in events] for group, events in lines.take().items()}

    assert taken == {"/a": ["1", "3"], "/b": ["2"]}
    assert lines.take() == {}


def test_a_stream_is_made_once_for_each_group() -> None:
    lines, logs = lines_and_logs()
    for group in ("/a", "/a", "/b"):
        lines.put(group, [])

    assert [each.kwargs["logGroupName"] for each in logs.create_log_stream.call_args_list] == ["/a", "/b"]
    assert logs.put_log_events.call_count == 3


def test_lines_of_a_group_that_was_deleted_are_lost_and_nothing_else() -> None:
    lines, logs = lines_and_logs()
    logs.create_log_stream.side_effect = GoneError

    lines.put("/a", [])

    logs.put_log_events.assert_not_called()
