"""manage.py add_provider NAME: add a server of one's own (vLLM, llama.cpp, Ollama, …) with its models and prices."""

import sys
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from catalog import own_providers
from catalog.addresses import BadBaseUrl
from catalog.credentials import BadKey
from catalog.files import PriceEntry
from catalog.hosting import PROTOCOL_OF
from catalog.management.reach_options import add_reach_arguments, read_reach
from catalog.publication import BrokenCatalog
from catalog.reach import BadReach

_REFUSALS = (own_providers.NameTaken, own_providers.BadModel, BadKey, BadBaseUrl, BadReach, BrokenCatalog)


class Command(BaseCommand):
    """Adding again under the same name changes the provider and appends new prices."""

    help = "Add your own model server, with its models and prices in USD per million tokens. In effect within two seconds."

    def add_arguments(self, parser: CommandParser) -> None:
        """Take where it is, what it speaks, and its models: from options or from a file."""
        parser.add_argument("name", help="a name; its lower-case form is the provider's slug")
        parser.add_argument("--base-url", required=True, help="such as http://10.0.0.5:8000/v1; the dialect's path is appended")
        parser.add_argument("--dialect", required=True, choices=sorted(PROTOCOL_OF), help="the wire format that it speaks")
        parser.add_argument("--api-key", help="its key, if it wants one; '-' reads it from standard input")
        parser.add_argument("--allow-private", action="store_true", help="it may be on this machine or a private network, or plain http")
        add_reach_arguments(parser)
        parser.add_argument("--models", type=Path, help="YAML file with a list 'models': id, provider_model_id, context_length, price, …")
        parser.add_argument(
            "--model",
            action="append",
            default=[],
            metavar="ID[=UPSTREAM]",
            help="a model: what customers send, and what the server is sent",
        )
        parser.add_argument("--input-price", help="USD per million input tokens of every --model; 0 is free")
        parser.add_argument("--output-price", help="USD per million output tokens of every --model; 0 is free")
        parser.add_argument("--context-length", type=int, help="tokens, of every --model")

    def handle(self, *_args: Any, **options: Any) -> None:
        """Add it and say how it is reached."""
        api_key = sys.stdin.read() if options["api_key"] == "-" else options["api_key"]
        try:
            provider, hosting = own_providers.add_provider(
                name=options["name"],
                base_url=options["base_url"],
                dialect=options["dialect"],
                models=_models(options),
                api_key=api_key,
                allow_private=options["allow_private"],
                reach=read_reach(options),
            )
        except _REFUSALS as error:
            raise CommandError(str(error)) from error
        self.stdout.write(f"{provider.slug} is {hosting.mode}" + (f": {hosting.reason}" if hosting.reason else f" at {hosting.base_url}"))


def _models(options: dict[str, Any]) -> list[own_providers.OwnModel]:
    models = own_providers.read_models(options["models"]) if options["models"] else []
    if options["model"] and (options["input_price"] is None or options["output_price"] is None):
        msg = "--model needs --input-price and --output-price; 0 is free"
        raise CommandError(msg)
    price = PriceEntry(usd_per_million_tokens={"input": options["input_price"], "output": options["output_price"]})
    for text in options["model"]:
        model_id, _, upstream = text.partition("=")
        models.append(
            own_providers.OwnModel(id=model_id, provider_model_id=upstream, context_length=options["context_length"], price=price)
        )  # fmt: skip
    return models
