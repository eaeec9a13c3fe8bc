"""Secrets that calls name: read from Secrets Manager, and known for a minute."""

import functools
import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from aws_lambda_powertools.utilities.parameters import SecretsProvider
from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

from sluice.retrier.rules import Rules

from .calls import VALUE

if TYPE_CHECKING:
    from botocore.config import Config

KEPT_SECONDS = 60
"""A secret that is rotated is known everywhere after this long."""


class SecretUnavailableError(Exception):
    """A secret cannot be read, or is none that a header can hold; the message does not show it."""


class SecretValues:
    """Reads the secrets that calls may name."""

    def __init__(
        self, provider: Callable[[], SecretsProvider], arns: Mapping[str, str], rules: Rules
    ) -> None:
        """Say where each is, and which value of it is meant.

        The provider is made when a secret is read first: most functions never do.
        """
        self._provider = functools.cache(provider)
        self._arns = arns
        self._json_keys = {each.name: each.json_key for each in rules.secrets}

    @classmethod
    def named(cls, arns: str, rules: Rules, config: "Config") -> "SecretValues":
        """Return the secrets whose ARNs a JSON object holds by name."""
        return cls(lambda: SecretsProvider(boto_config=config), json.loads(arns), rules)

    def read(self, name: str) -> str:
        """Return a secret.

        Raises:
            SecretUnavailableError: if it cannot be read, or does not fit into a header.
        """
        try:
            found = self._provider().get(self._arns[name], max_age=KEPT_SECONDS)
        except GetParameterError:
            raise SecretUnavailableError(f"the secret {name!r} cannot be read") from None
        text = self._chosen(name, found) if isinstance(found, str) else ""
        if not (text and VALUE.fullmatch(text)):
            raise SecretUnavailableError(f"the secret {name!r} is not ASCII on one line, as a header is")
        return text

    def _chosen(self, name: str, found: str) -> str:
        key = self._json_keys[name]
        if key is None:
            return found.strip()
        try:
            chosen = json.loads(found)[key]
        except (ValueError, KeyError, TypeError):
            raise SecretUnavailableError(f"the secret {name!r} is no JSON object with {key!r}") from None
        if isinstance(chosen, bool) or not isinstance(chosen, str | int | float):
            raise SecretUnavailableError(f"the secret {name!r} holds no text as {key!r}")
        return str(chosen)
