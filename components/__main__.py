"""Hosts the components for programs in other languages: Pulumi runs this folder as a plugin."""

import sys
from pathlib import Path

# Pulumi puts this folder on the path, where its modules could shadow others: put the one above in its place.
sys.path[0] = str(Path(__file__).parent.parent)

from pulumi.provider.experimental import component_provider_host  # noqa: E402

from components import COMPONENTS  # noqa: E402
from sluice import __version__  # noqa: E402

if __name__ == "__main__":
    component_provider_host(COMPONENTS, name="sluice", version=__version__)
