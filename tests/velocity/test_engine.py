"""The local engine beside Apache's: what our templates may use is the same on all."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from local.standin import velocity
from local.standin.velocity import Request, TemplateError

from . import agreeing, hostile
from .apache_velocity import NEW, OLD, VERSIONS, ApacheVelocity
from .examples import CONTEXT, LOWERED, REQUEST, SAME, WRONG

# Beyond these, which letters are each other's capitals depends on the version of Unicode.
letters = st.text(st.characters(max_codepoint=0x24F))


def text(template: str, **context: Any) -> str:
    return agreeing.render(template, REQUEST, context).text


@pytest.mark.parametrize(("template", "made"), SAME)
def test_all_engines_say_the_same(template: str, made: str) -> None:
    assert text(template, **CONTEXT) == made


@pytest.mark.parametrize("template", WRONG)
def test_no_engine_renders_what_is_wrong(template: str) -> None:
    with pytest.raises(TemplateError):
        text(template)


@pytest.mark.parametrize("apache", VERSIONS, ids=lambda each: each.jars.name)
@pytest.mark.parametrize("template", ["$none", "${none}", "$context.none", "$input.path('$.none')"])
def test_a_loud_reference_to_nothing_is_where_they_part(template: str, apache: ApacheVelocity) -> None:
    assert velocity.render(f"a{template}", REQUEST, {}).text == "a"
    assert apache.render(f"a{template}", REQUEST, {}).text == f"a{template}"


@pytest.mark.parametrize("apache", VERSIONS, ids=lambda each: each.jars.name)
@pytest.mark.parametrize("template", ["$util.urlEncode($input.path('$.n'))", "$input.body.unknown()"])
def test_a_method_that_is_not_found_is_an_error_here_and_its_own_text_there(
    template: str, apache: ApacheVelocity
) -> None:
    with pytest.raises(TemplateError):
        velocity.render(template, REQUEST, {})
    assert apache.render(template, REQUEST, {}).text == template


@pytest.mark.parametrize("apache", VERSIONS, ids=lambda each: each.jars.name)
def test_an_else_with_a_letter_after_it_is_an_error_here_and_text_there(apache: ApacheVelocity) -> None:
    template = "#if(true)yes#elseno#end"
    with pytest.raises(TemplateError):
        velocity.render(template, REQUEST, {})
    assert apache.render(template, REQUEST, {}).text == "yes#elseno"


def test_a_variable_that_is_set_to_nothing_is_where_the_versions_part() -> None:
    template = "#set($x = 'before')#set($x = $none)$!x"
    assert OLD.render(template, REQUEST, {}).text == "before"
    assert NEW.render(template, REQUEST, {}).text == velocity.render(template, REQUEST, {}).text == ""


@pytest.mark.parametrize(
    "call",
    [
        "$context.a.length() $context.a.isEmpty() [$context.a.trim()]",
        "$context.a.contains($context.b) $context.a.indexOf($context.b)",
        "$context.a.startsWith($context.b) $context.a.endsWith($context.b) $context.a.equals($context.b)",
        "$context.a.matches('[A-Za-z0-9_-]{1,5}') $context.a.matches('\\d+') $context.a.matches('(a|\\w)*')",
        "$context.a.replaceAll('[^A-Za-z0-9]', '-') $context.a.replaceAll('(\\d)(\\w)', '$2\\\\$1')",
        "$util.urlEncode($context.a) $util.base64Encode($context.a) $util.escapeJavaScript($context.a)",
        "$util.urlDecode($util.urlEncode($context.a)) $util.base64Decode($util.base64Encode($context.a))",
    ],
)
@given(a=hostile.texts, b=hostile.texts)
@example(a="\U0001f600x\U0001f600", b="x")
@example(a="a1b22", b="2")
def test_text_has_javas_methods(call: str, a: str, b: str) -> None:
    for other in (b, a[: len(b)], a[1:]):
        text(call, a=a, b=other)


@given(a=letters, b=letters)
@example(a="\u0130\u00df\u0149", b="i\u0307SS\u02bcN")
def test_text_changes_its_case_as_in_java(a: str, b: str) -> None:
    for other in (b, a.upper(), a.lower(), a.swapcase()):
        text(
            "$context.a.toLowerCase() $context.a.toUpperCase() $context.a.equalsIgnoreCase($context.b)",
            a=a,
            b=other,
        )


@given(value=hostile.texts, start=st.integers(-1, 9), end=st.integers(-1, 9))
@example(value="\U0001f600x\U0001f600", start=2, end=3)
@example(value="\U0001f600", start=0, end=1)
def test_text_is_cut_as_in_java_or_not_at_all(value: str, start: int, end: int) -> None:
    for call in (f"substring({start})", f"substring({start}, {end})"):
        with suppress(TemplateError):
            text(f"$context.value.{call}", value=value)


@given(value=hostile.values)
def test_json_is_read_and_written_as_by_jackson(value: Any) -> None:
    request = Request(json.dumps(value))
    agreeing.render(
        "$input.json('$') $!input.path('$') $!input.path('$.id') $!input.path('$[0]')", request, {}
    )


@given(
    body=hostile.texts
    | st.from_regex(r"[\[\]{}\",:0-9.eE+-]{1,9}|[ \n]*-?0*(null|true|NaN|1\.)[ ,]*", fullmatch=True)
)
def test_what_is_no_json_is_nothing_for_all(body: str) -> None:
    agreeing.render("#if($input.path('$') == $none)nothing#{else}something#end", Request(body), {})


@given(request=hostile.requests(), context=hostile.contexts())
def test_parameters_are_found_in_the_same_places(request: Request, context: dict[str, Any]) -> None:
    for name in hostile.NAMES:
        agreeing.render(f"[$input.params('{name}')]", request, context)
    agreeing.render(f"{LOWERED}$h $input.params() $context.authorizer", request, context)
