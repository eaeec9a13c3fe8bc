"""What a person reads while things happen, on standard error, so that standard output stays for results."""

import sys
from dataclasses import dataclass


@dataclass(frozen=True)
class Say:
    """Writes progress lines, unless it is to be quiet."""

    quiet: bool = False

    def line(self, text: str) -> None:
        """Write one line."""
        if not self.quiet:
            # One call to write, so that lines of several threads do not mix.
            sys.stderr.write(f"{text}\n")
            sys.stderr.flush()

    def step(self, what: str, seconds: float) -> None:
        """Write that something is done, and how long it took."""
        self.line(f"  {seconds:6.2f} s  {what}")
