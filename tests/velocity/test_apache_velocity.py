"""Apache Velocity as a process: what it answers, and that nothing of it is left behind."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from local.demo_checks import wait_until
from local.standin.velocity import Rendered, Request, TemplateError
from tests.local.support import alive_in, emulators_of

from .apache_velocity import VERSIONS, ApacheVelocity, ApacheVelocityError

REQUEST = Request('{"name": "\\ud83d\u00e9"}', {"X-Trace": "t"}, {"page": "1"}, {"id": "7"})


@pytest.fixture
def own() -> Iterator[ApacheVelocity]:
    """One that no other test has."""
    engine = ApacheVelocity("2.4.1")
    yield engine
    engine.stop()


@pytest.mark.parametrize("apache", VERSIONS, ids=lambda each: each.jars.name)
class TestRendering:
    def test_all_of_a_request_can_be_read(self, apache: ApacheVelocity) -> None:
        template = (
            "$input.path('$.name') $input.params('x-trace') $input.params().querystring.page "
            "$input.params('id') $context.identity.sourceIp $stageVariables.colour"
        )
        made = apache.render(template, REQUEST, {"identity": {"sourceIp": "::1"}}, {"colour": "red"})
        assert made == Rendered("\ud83d\u00e9 t 1 7 ::1 red", None, {})

    def test_status_and_headers_can_be_set_and_are_forgotten(self, apache: ApacheVelocity) -> None:
        override = "$context.responseOverride"
        template = f"#set({override}.status = 413)#set({override}.header.Retry-After = 5)x"
        assert apache.render(template, REQUEST, {}) == Rendered("x", 413, {"Retry-After": "5"})
        assert apache.render("$!context.responseOverride.status", REQUEST, {}) == Rendered("", None, {})

    def test_what_one_template_sets_no_other_sees(self, apache: ApacheVelocity) -> None:
        assert apache.render("#set($x = 'one')$x", REQUEST, {}).text == "one"
        assert apache.render("$!x", REQUEST, {}).text == ""

    def test_an_empty_body_is_an_empty_object(self, apache: ApacheVelocity) -> None:
        assert apache.render("$input.body $input.json('$')", Request(""), {}).text == "{} {}"

    @pytest.mark.parametrize("template", ["#if(true)", "$input.path('nonsense')", "$util.parseJson('{')"])
    def test_what_it_cannot_render_is_told_and_it_goes_on(
        self, template: str, apache: ApacheVelocity
    ) -> None:
        with pytest.raises(TemplateError, match="Exception"):
            apache.render(template, REQUEST, {})
        assert apache.render("x", REQUEST, {}).text == "x"


def test_one_process_serves_until_it_is_stopped(own: ApacheVelocity) -> None:
    others = emulators_of(os.getpid())
    for _ in range(3):
        own.render("x", REQUEST, {})
    (group,) = emulators_of(os.getpid()) - others
    own.stop()

    assert alive_in(group) == []
    assert own.render("again", REQUEST, {}).text == "again"


def test_an_engine_that_ended_is_told(own: ApacheVelocity) -> None:
    others = emulators_of(os.getpid())
    own.render("x", REQUEST, {})
    (group,) = emulators_of(os.getpid()) - others
    os.killpg(group, signal.SIGKILL)

    with pytest.raises(ApacheVelocityError, match="ended with -9"):
        own.render("x", REQUEST, {})


def test_it_ends_with_a_process_that_is_killed() -> None:
    words = (
        "from tests.velocity.apache_velocity import *\n"
        "render('x', Request(''), {}); print(flush=True); input()"
    )
    with subprocess.Popen(
        [sys.executable, "-c", words], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as parent:
        assert parent.stdout is not None
        parent.stdout.readline()
        (group,) = emulators_of(parent.pid)
        parent.send_signal(signal.SIGKILL)

    assert wait_until(lambda: alive_in(group), lambda alive: not alive) == []
