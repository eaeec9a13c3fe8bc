"""Sluice: let the world POST to a queue, safely, at any rate.

This package holds what the components, the functions in Lambda and the operator's command share.
Importing it costs nothing: it imports nothing.
"""

__version__ = "0.1.0"
