import json
import urllib.parse
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from local.standin.velocity import Rendered, Request, TemplateError, json_path, render
from tests.velocity import examples

REQUEST = Request(
    body='{"a": {"b": [1, {"c": "d"}]}, "odd key": true, "e": null, "": "nameless"}',
    headers={"X-Name": "header", "X-Only": "from header"},
    query={"x-name": "query", "X-Name": "query", "q": "from query", "blank": ""},
    path={"X-Name": "path", "id": "from path"},
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda each: st.lists(each) | st.dictionaries(st.from_regex(r"[A-Za-z_]\w{0,5}", fullmatch=True), each),
)


def text(template: str, body: str | None = None, **context: Any) -> str:
    return render(template, REQUEST if body is None else Request(body), context).text


@pytest.mark.parametrize(("template", "made"), examples.SAME)
def test_a_template_comes_to_what_velocity_makes_of_it(template: str, made: str) -> None:
    assert render(template, examples.REQUEST, examples.CONTEXT).text == made


@pytest.mark.parametrize("template", examples.WRONG)
def test_what_velocity_does_not_render_is_an_error(template: str) -> None:
    with pytest.raises(TemplateError):
        render(template, examples.REQUEST, examples.CONTEXT)


@pytest.mark.parametrize(
    "template",
    [
        "$util.urlEncode($input.path('$.a'))",
        "$input.body.unknown()",
        "$input.unknown()",
        "#if(true)yes#elseno#end",
    ],
)
def test_what_velocity_would_print_as_it_stands_is_an_error(template: str) -> None:
    with pytest.raises(TemplateError):
        text(template)


@pytest.mark.parametrize(
    ("call", "made"),
    [
        ("length()", "7"),
        ("isEmpty()", "false"),
        ("trim()", "\U0001f600 Ab2"),
        ("toLowerCase()", "\U0001f600 ab2 "),
        ("toUpperCase()", "\U0001f600 AB2 "),
        ("contains('b2')", "true"),
        ("startsWith('A')", "false"),
        ("endsWith('2 ')", "true"),
        ("equals('Ab2')", "false"),
        ("equalsIgnoreCase('\U0001f600 aB2 ')", "true"),
        ("equalsIgnoreCase('\U0001f600 aB2')", "false"),
        ("indexOf('A')", "3"),
        ("indexOf('a')", "-1"),
        ("substring(3)", "Ab2 "),
        ("substring(3, 5)", "Ab"),
        ("matches('[^a-z]+b\\d\\s')", "true"),
        ("matches('b2')", "false"),
        ("replaceAll('([bA])', '<$1>')", "\U0001f600 <A><b>2 "),
        ("replaceAll('\\s', '\\$1')", "\U0001f600$1Ab2$1"),
        ("toString()", "\U0001f600 Ab2 "),
    ],
)
def test_text_has_javas_methods(call: str, made: str) -> None:
    # A smiley counts as two: Java counts units of UTF-16.
    assert text(f"$context.x.{call}", x="\U0001f600 Ab2 ") == made


@pytest.mark.parametrize("half", ["\\ud83d", "\\ude00"])
def test_half_a_surrogate_pair_is_encoded_as_java_does(half: str) -> None:
    assert text("$util.urlEncode($input.path('$'))", f'"{half}"') == "%3F"


@pytest.mark.parametrize("body", ["NaN", "[Infinity]", "[" * 100_000])
def test_what_only_python_takes_for_json_is_none(body: str) -> None:
    assert text("$input.json('$')", body) == '""'


@given(st.text(min_size=1))
def test_url_encoding_is_that_of_a_form(value: str) -> None:
    encoded = text("$util.urlEncode($input.body)", value)
    assert urllib.parse.unquote_plus(encoded) == value
    assert set(encoded) <= set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789*-._+%")


@pytest.mark.parametrize(
    ("value", "encoded"),
    [(" ", "+"), ("+", "%2B"), ("~", "%7E"), ("*-._", "*-._"), ("é", "%C3%A9"), ("/", "%2F")],
)
def test_url_encoding_is_javas(value: str, encoded: str) -> None:
    assert text("$util.urlEncode($input.body)", value) == encoded


@given(st.text(min_size=1))
def test_decoding_undoes_encoding(value: str) -> None:
    assert text("$util.urlDecode($util.urlEncode($input.body))", value) == value
    assert text("$util.base64Decode($util.base64Encode($input.body))", value) == value


def test_base_64_is_the_plain_alphabet() -> None:
    assert text("$util.base64Encode($input.body)", "a?>é") == "YT8+w6k="


@given(st.text(min_size=1))
def test_text_escaped_for_javascript_is_json_after_one_replacement(value: str) -> None:
    escaped = text("$util.escapeJavaScript($input.body)", value)
    # The guide's own advice: JSON knows no escaped single quote.
    assert json.loads('"' + escaped.replace("\\'", "'") + '"') == value


def test_text_is_escaped_for_javascript_as_api_gateway_does() -> None:
    assert text("$util.escapeJavaScript($input.body)", "a'b\"c/d\n") == "a\\'b\\\"c\\/d\\n"


@pytest.mark.parametrize(
    ("template", "made"),
    [
        ("$input.body", "{}"),
        ("$util.urlEncode($input.body)", "%7B%7D"),
        ("$input.json('$')", "{}"),
        ("#set($it = $input.path('$'))$it", "{}"),
    ],
)
def test_an_empty_body_is_an_empty_object_as_in_api_gateway(template: str, made: str) -> None:
    assert text(template, "") == made


@pytest.mark.parametrize("body", [" ", "\n", "null", '""'])
def test_only_an_empty_body_is_taken_for_an_object(body: str) -> None:
    assert text("$input.body", body) == body


def test_json_is_parsed_into_an_object() -> None:
    assert text("#set($it = $util.parseJson($input.body))$it.a.b[1].c") == "d"


@given(JSON)
def test_the_whole_of_a_body_is_found_as_json(value: Any) -> None:
    found = json.loads(text("$input.json('$')", json.dumps(value)))
    assert found == ("" if value is None else value)


@pytest.mark.parametrize(
    ("expression", "found"),
    [
        ("$.a.b[0]", "1"),
        ("$.a.b[1].c", '"d"'),
        ("$['odd key']", "true"),
        ("$['a']['b'][1]['c']", '"d"'),
        ("$['']", '"nameless"'),
        ("$.none", '""'),
        ("$.e", '""'),
        ("$.a.b[7]", '""'),
        ("$.a[0]", '""'),
        ("$.a.b.c", '""'),
        ("$.a.b[0].c", '""'),
    ],
)
def test_a_part_of_a_body_is_found_by_its_path(expression: str, found: str) -> None:
    assert text(f'$input.json("{expression}")'.replace('"', "'" if "'" not in expression else '"')) == found


def test_a_path_gives_an_object_that_a_template_can_go_on_with() -> None:
    assert text("#set($it = $input.path('$.a'))$it.b[1].c") == "d"


@pytest.mark.parametrize(
    "there", ["$input.path('$.none')", "$input.path('$.e')", "$context.none", "$input.params('none')"]
)
def test_what_is_absent_is_no_condition_in_the_form_that_our_templates_use(there: str) -> None:
    assert text(f'#set($it = {there})#if($it && $it != "")yes#{{else}}no#end') == "no"


@pytest.mark.parametrize("expression", ["a.b", "", "$.a[*]", "$..c", "$.a[?(@.b)]", "$a", "$.a[-1]", "$['a"])
def test_a_path_that_is_not_known_here_is_an_error_and_not_nothing(expression: str) -> None:
    with pytest.raises(TemplateError):
        json_path(REQUEST.body, expression)


@pytest.mark.parametrize("body", ["", "text", "{", "<xml/>"])
def test_nothing_is_found_in_what_is_no_json(body: str) -> None:
    assert json_path(body, "$.a") is None
    assert text("$input.json('$.a')", body) == '""'


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("X-Name", "path"),
        ("x-name", "query"),
        ("X-NAME", "header"),
        ("x-only", "from header"),
        ("q", "from query"),
        ("id", "from path"),
        ("Q", ""),
        ("blank", ""),
        ("none", ""),
    ],
)
def test_a_parameter_is_looked_for_in_path_query_and_headers(name: str, found: str) -> None:
    # Headers alone are found whatever their case.
    assert text(f"$input.params('{name}')") == found


def test_all_parameters_can_be_had_by_kind() -> None:
    everything = "$input.params().path.id $input.params().querystring.q $input.params().header['X-Only']"
    assert text(everything) == "from path from query from header"


def test_context_and_stage_variables_can_be_read() -> None:
    made = render(
        "$context.identity.sourceIp $stageVariables.x", REQUEST, {"identity": {"sourceIp": "::1"}}, {"x": "y"}
    )
    assert made == Rendered("::1 y", None, {})


def test_a_template_may_set_the_status_and_headers() -> None:
    status = "#set($context.responseOverride.status = 413)"
    header = "#set($context.responseOverride.header.Retry-After = '5')"
    assert render(f"{status}{header}x", REQUEST, {}) == Rendered("x", 413, {"Retry-After": "5"})


def test_an_override_does_not_outlive_its_rendering() -> None:
    context: dict[str, Any] = {"requestId": "r"}
    render("#set($context.responseOverride.status = 413)", REQUEST, context)
    assert context == {"requestId": "r"}
    assert render("x", REQUEST, context).status is None


@pytest.mark.parametrize(
    "template",
    [
        "#if(true)",
        "$util.urlEncode(",
        "$util.parseJson('{')",
        "$util.base64Decode('a')",
        "$input.json('nonsense')",
        "$input.path('$..a')",
    ],
)
def test_a_template_that_cannot_be_rendered_is_an_error(template: str) -> None:
    with pytest.raises(TemplateError):
        text(template)
