"""Requests that ask for a search of the web: the suffix ``:online``, or the plugin ``web``. Pure.

A provider that searches by itself does it, once, at its own price per search; we run no search engine. docs/routing.md says which.
"""

from typing import Any, Final

from catalog.types import EndpointSpec
from gateway.dialects.base import ChatRequest
from gateway.providers.table import quirks_of
from gateway.relay.errors import BadRequest

_SUFFIX: Final = ":online"
_PLUGIN: Final = "web"
_ENGINES: Final = (None, "auto", "native")
_KNOWN: Final = frozenset({"id", "enabled", "engine"})


def mark_search(request: ChatRequest) -> None:
    """Note on the request that it asks for a search. Raises: BadRequest for one that no provider does as it is asked for."""
    if "plugins" not in request.body and not request.models and _SUFFIX not in (request.model or ""):
        return
    plugins = request.body.get("plugins")
    by_plugin = bool(plugins) and _names_plugin(plugins)
    if not by_plugin and not any(_SUFFIX in name for name in (request.model or "", *request.models)):
        return
    if request.kind != "chat":
        raise BadRequest(f"{_SUFFIX} is for chats", metadata={"param": "model"}, remedy="Name the model without it.")
    request.searches_web = True


def _names_plugin(plugins: Any) -> bool:
    for place, plugin in enumerate(plugins):
        if not isinstance(plugin, dict) or plugin.get("id") != _PLUGIN or plugin.get("enabled") is False:
            continue
        name = f"plugins[{place}]"
        if plugin.get("engine") not in _ENGINES:
            raise _refuse(f"{name}.engine", "must be native or left out: providers search by themselves, no other engine is asked")
        for field in plugin:
            if field not in _KNOWN and plugin[field] is not None:
                raise _refuse(f"{name}.{field}", "is not supported: providers search once, in their own way")
        return True
    return False


def _refuse(param: str, what: str) -> BadRequest:
    return BadRequest(f"{param} {what}", metadata={"param": param}, remedy='Send {"id": "web"} alone.')


def can_search(endpoint: EndpointSpec) -> bool:
    """Whether a search can be had at the endpoint, and what it costs is known before and after."""
    quirks = quirks_of(endpoint.provider)
    if "searches" not in endpoint.price.rates:
        return False
    return bool(quirks.searches_max or (quirks.search_tool and endpoint.context_length))
