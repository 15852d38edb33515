"""manage.py set_provider SLUG: give a provider its key, base URL, options or headers."""

import sys
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import credentials
from catalog.addresses import BadBaseUrl
from catalog.management.reach_options import add_reach_arguments, read_reach
from catalog.publication import BrokenCatalog
from catalog.reach import BadReach

_REFUSALS = (credentials.UnknownProvider, credentials.NothingToSet, credentials.BadKey, BadBaseUrl, BadReach, BrokenCatalog)


class Command(BaseCommand):
    """The key is sealed in the database and never printed."""

    help = "Give a provider its API key (sealed at rest) or another base URL. In effect within two seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take the slug and what to set."""
        parser.add_argument("slug", help="the provider, such as openai")
        parser.add_argument("--api-key", help="the key; '-' reads it from standard input and keeps it out of the shell's history")
        parser.add_argument("--base-url", help="another base URL; '' goes back to the catalog's")
        parser.add_argument(
            "--allow-private", action="store_true", help="the base URL may be on this machine or a private network, or plain http"
        )
        add_reach_arguments(parser)
        parser.add_argument("--remove-key", action="store_true", help="take the provider's keys away")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Set it and say how the provider is reached now."""
        api_key = sys.stdin.read() if options["api_key"] == "-" else options["api_key"]
        try:
            hosting = credentials.set_provider(
                slug=options["slug"],
                api_key=api_key,
                base_url=options["base_url"],
                allow_private=options["allow_private"],
                reach=read_reach(options),
                remove_key=options["remove_key"],
            )
        except _REFUSALS as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{options['slug']} is {hosting.mode}" + (f": {hosting.reason}" if hosting.reason else f" at {hosting.base_url}"))
