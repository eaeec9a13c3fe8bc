"""Which pages of browsers may call: the answers to preflights, and the headers on every other answer."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import cast

from . import arguments, sources
from .arguments import Problem
from .sources import HEADERS, Kind

ANY = "*"
ORIGIN = re.compile(r"\*|https?://[a-z0-9.-]+(:\d{1,5})?")
ALLOW_ORIGIN = "Access-Control-Allow-Origin"
REQUEST_HEADERS = ("Authorization", "Content-Type", "X-Api-Key")
EXPOSED = ("x-amzn-RequestId", "Retry-After")
"""What a page may read of an answer besides its body."""
MAX_AGE_SECONDS = 600
LONGEST_MAX_AGE_SECONDS = 86_400
"""What browsers take at most."""
MOST_ORIGINS = 20
KEYS = ("cors_headers", "cors_credentials", "cors_max_age_seconds")


@dataclass(frozen=True)
class Cors:
    """What a front door tells browsers."""

    origins: Sequence[str]
    headers: Sequence[str] = REQUEST_HEADERS
    credentials: bool = False
    max_age_seconds: int = MAX_AGE_SECONDS

    def answer_headers(self) -> dict[str, str]:
        """Return the headers on every answer and error.

        A preflight lets through the origins of the list alone. The answers themselves hold nothing that
        another page may not read, and a gateway response cannot choose by origin, so of several they name
        none.
        """
        exposed = {"Access-Control-Expose-Headers": f"'{','.join(EXPOSED)}'"}
        return {ALLOW_ORIGIN: f"'{self._one or ANY}'", **self._for_credentials(), **exposed}

    def preflight_headers(self, verbs: Sequence[str]) -> dict[str, str]:
        """Return the headers on the answer to a preflight, less what its template decides."""
        origin = (
            {ALLOW_ORIGIN: f"'{self._one}'", **self._for_credentials()} if self._one else {"Vary": "'Origin'"}
        )
        return {
            **origin,
            "Access-Control-Allow-Headers": f"'{','.join(self.headers)}'",
            "Access-Control-Allow-Methods": f"'{','.join(verbs)}'",
            "Access-Control-Max-Age": f"'{self.max_age_seconds}'",
        }

    def preflight_template(self) -> str:
        """Return the template that names the origin that asks, where it is one of several."""
        if self._one:
            return ""
        known = " || ".join(f'$origin == "{each}"' for each in self.origins)
        return (
            f"{HEADERS}#set($origin = \"$!headers.get('origin')\")"
            f"#if({known})#set($context.responseOverride.header.{ALLOW_ORIGIN} = $origin)#end"
        )

    @property
    def overridden(self) -> tuple[str, ...]:
        """The headers that the preflight's template sets."""
        return () if self._one else (ALLOW_ORIGIN,)

    @property
    def _one(self) -> str | None:
        return self.origins[0] if len(self.origins) == 1 else None

    def _for_credentials(self) -> dict[str, str]:
        return {"Access-Control-Allow-Credentials": "'true'"} if self.credentials else {}


def of(args: Mapping[str, object], read: Iterable[str] = ()) -> Cors | None:
    """Return what a front door's arguments mean; none where no page may call.

    Args:
        args: the arguments.
        read: the headers that routes and reads look at, which pages must be able to send.
    """
    if "cors_origins" not in args:
        return None
    return Cors(
        origins=cast(list[str], args["cors_origins"]),
        headers=_each_once([*cast(list[str], args.get("cors_headers", list(REQUEST_HEADERS))), *read]),
        credentials=args.get("cors_credentials") is True,
        max_age_seconds=cast(int, args.get("cors_max_age_seconds", MAX_AGE_SECONDS)),
    )


def _each_once(names: Iterable[str]) -> list[str]:
    return list({name.lower(): name for name in names}.values())


def problems(args: Mapping[str, object]) -> list[Problem]:
    """Return everything that is wrong with the arguments."""
    found = [
        *arguments.texts(
            args, "cors_origins", ORIGIN, "https://shop.example.com, in lower case, without a path; or *"
        ),
        *arguments.texts(args, "cors_headers", sources.NAMES[Kind.HEADER], "the name of a header"),
        *arguments.flag(args, "cors_credentials"),
        *arguments.between(args, "cors_max_age_seconds", 0, LONGEST_MAX_AGE_SECONDS, "seconds"),
    ]
    origins = args.get("cors_origins")
    if origins is None:
        return [*found, *arguments.without(args, KEYS, "there are no cors_origins")]
    if not isinstance(origins, list) or found:
        return found
    if not 1 <= len(origins) <= MOST_ORIGINS:
        found.append(Problem("cors_origins", origins, f"1 to {MOST_ORIGINS} origins"))
    elif ANY in origins and len(origins) > 1:
        found.append(Problem("cors_origins", origins, f'["{ANY}"] alone, or origins by name'))
    elif args.get("cors_credentials") is True and (len(origins) > 1 or ANY in origins):
        # Browsers want to see their own origin on every answer, and errors of API Gateway cannot choose.
        found.append(Problem("cors_origins", origins, "exactly one origin by name, with cors_credentials"))
    elif len(origins) > 1 and "reads" in args and ("allow_cidrs" in args or "vpc_endpoint_ids" in args):
        # Answers to several origins name none, and a GET asks for no preflight first.
        allowed = "exactly one origin, where reads are for one network: other pages in it could read them"
        found.append(Problem("cors_origins", origins, allowed))
    return found
