"""Physical names, where AWS wants one from us; everything else is named by Pulumi."""

import re

import pulumi

UNSAFE = re.compile(r"[^A-Za-z0-9_-]")


def stack_wide(name: str) -> str:
    """Return a name that no other stack of the account uses: project, stack and the component's own."""
    return UNSAFE.sub("-", f"{pulumi.get_project()}-{pulumi.get_stack()}-{name}")
