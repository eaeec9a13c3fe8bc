"""Writes the tables of arguments and outputs in docs/*.md from the components' own docstrings.

``python docs/reference.py`` writes them; ``--check`` only says whether they are as they should be.
"""

import json
import re
import sys
import warnings
from pathlib import Path
from typing import Any

DOCS = Path(__file__).parent
sys.path.insert(0, str(DOCS.parent))
# One deprecated name in the provider warns whenever its module is read.
warnings.filterwarnings("ignore", message="aws.lambda/microvmsimage", category=DeprecationWarning)

from pulumi.provider.experimental.component import ComponentProvider  # noqa: E402

from components import COMPONENTS  # noqa: E402
from sluice import __version__  # noqa: E402

MARK = re.compile(
    r"(<!-- (?P<what>arguments|outputs|keys) of (?P<name>\w+) -->\n).*?(<!-- end -->)", re.DOTALL
)


def schema() -> dict[str, Any]:
    """Return what Pulumi tells programs in other languages of the components."""
    found: dict[str, Any] = json.loads(str(ComponentProvider(COMPONENTS, "sluice", None, __version__).schema))
    return found


def written(text: str, known: dict[str, Any]) -> str:
    """Return a page with its tables as they should be."""

    def table(found: re.Match[str]) -> str:
        token = f"sluice:index:{found['name']}"
        if found["what"] == "keys":
            return (
                found[1]
                + "\n".join(inputs(known["types"][token], "key", "properties", "required"))
                + "\n"
                + found[4]
            )
        component = known["resources"][token]
        if found["what"] == "outputs":
            lines = ["| output | what it is |", "| --- | --- |"]
            lines += [
                f"| `{snake(key)}` | {words(value)} |" for key, value in component["properties"].items()
            ]
        else:
            lines = inputs(component, "argument", "inputProperties", "requiredInputs")
        return found[1] + "\n".join(lines) + "\n" + found[4]

    return MARK.sub(table, text)


def inputs(described: dict[str, Any], heading: str, properties: str, required: str) -> list[str]:
    """Return a table of what is given to a component, or of the keys of one of its arguments."""
    needed = described.get(required, [])
    return [
        f"| {heading} | type | what it does |",
        "| --- | --- | --- |",
        *(
            f"| `{snake(key)}` | {kind(value)} | {'**Required.** ' * (key in needed)}{words(value)} |"
            for key, value in described[properties].items()
        ),
    ]


def snake(name: str) -> str:
    """Return a name as Python spells it."""
    return re.sub(r"(?<=[a-z0-9])([A-Z])", r"_\1", name).lower()


def words(value: dict[str, Any]) -> str:
    """Return a description on one line, as Markdown."""
    return re.sub(r"\s+", " ", value["description"]).replace("``", "`").replace("|", "\\|")


def kind(value: dict[str, Any]) -> str:
    """Return a type as a person says it."""
    if "$ref" in value:
        return "anything" if value["$ref"].endswith("/Any") else f"`{value['$ref'].rpartition(':')[2]}`"
    if value["type"] == "array":
        return f"list of {kind(value['items'])}"
    if value["type"] == "object":
        return f"map of {kind(value['additionalProperties'])}"
    return str(value["type"])


def main(words_given: list[str]) -> int:
    """Write the pages, or check them."""
    known, stale = schema(), []
    for page in sorted(DOCS.glob("*.md")):
        text = page.read_text()
        wanted = written(text, known)
        if text != wanted:
            stale.append(page.name)
            if "--check" not in words_given:
                page.write_text(wanted)
    if stale and "--check" in words_given:
        print(f"Not as the components say: {', '.join(stale)}. Run `make docs`.", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
