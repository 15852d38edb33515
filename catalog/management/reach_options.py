"""Options of commands that say how a provider is reached (``catalog.reach``)."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from catalog.reach import Reach


def add_reach_arguments(parser: CommandParser) -> None:
    """Take --like, --option, --header and --last-resort."""
    parser.add_argument(
        "--like", metavar="SLUG", help="whose quirks it shares: openrouter, litellm, cloudflare-ai-gateway, azure, openai, …"
    )
    parser.add_argument(
        "--option", action="append", default=[], metavar="NAME=VALUE", help="region, project, api_version, …; an empty value takes it away"
    )
    parser.add_argument(
        "--header", action="append", default=[], metavar="NAME:VALUE", help="sent with every call, sealed at rest; empty takes it away"
    )
    parser.add_argument("--last-resort", action="store_true", default=None, help="try it only when all others have failed")
    parser.add_argument("--no-last-resort", action="store_false", dest="last_resort", default=None, help="treat it as the others again")


def read_reach(options: dict[str, Any]) -> Reach:
    """Return what the command's options say. Raises: CommandError."""
    return Reach(
        like=options["like"],
        options=_pairs(options["option"], "=", "--option"),
        headers=_pairs(options["header"], ":", "--header"),
        is_last_resort=options["last_resort"],
    )


def _pairs(texts: list[str], mark: str, flag: str) -> dict[str, str]:
    found = {}
    for text in texts:
        name, found_mark, value = text.partition(mark)
        if not found_mark:
            msg = f"{flag} needs a name, {mark!r} and a value"
            raise CommandError(msg)
        found[name.strip()] = value.strip()
    return found
