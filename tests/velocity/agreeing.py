"""One template on all engines, the local one and Apache's, which must make the same of it."""

from collections.abc import Callable, Mapping
from typing import Any

from local.standin import velocity
from local.standin.velocity import Rendered, Request, TemplateError

from .apache_velocity import VERSIONS


def render(template: str, request: Request, context: Mapping[str, Any]) -> Rendered:
    """Return what all engines make of a template.

    Raises:
        TemplateError: where none can render it.
    """
    here = _outcome(velocity.render, template, request, context)
    for each in VERSIONS:
        assert _outcome(each.render, template, request, context) == here, each.jars.name
    if here is None:
        raise TemplateError(f"No engine renders {template}")
    return here


def _outcome(
    render: Callable[[str, Request, Mapping[str, Any]], Rendered],
    template: str,
    request: Request,
    context: Mapping[str, Any],
) -> Rendered | None:
    try:
        return render(template, request, context)
    except TemplateError:
        return None
