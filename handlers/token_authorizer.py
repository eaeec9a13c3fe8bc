"""Entry of the token authorizer: a bearer token in, a policy that is safe to cache out.

Standard library only, since every request without a cached decision waits for it.
"""

from sluice import tokens
from sluice.tokens import Token

from . import authorizing
from .authorizing import Caller, Check, Log, RefusedError, Settings, SettingsError, now


def checking(settings: Settings, _log: Log) -> Check:
    """Return what lets the holders of known tokens in, as long as these last.

    Raises:
        SettingsError: if no token is known.
    """
    known = [Token(**each) for each in settings["tokens"]]
    if not known:
        raise SettingsError("no tokens are known")

    def check(token: str) -> Caller:
        found = tokens.find(token, known)
        if found is None:
            raise RefusedError("unknown token")
        if found.expires is not None and found.expires * 1000 <= now():
            raise RefusedError(f"expired token of {found.name}")
        return Caller(found.name)

    return check


handler = authorizing.handler(checking)
