"""Asking a deployed GraphQL service for its types, where no file says them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from vallum.api import graphql, sdl
from vallum.api.document import MAX_BYTES, parse
from vallum.api.model import MISSHAPEN, Definition
from vallum.errors import Inconclusive

if TYPE_CHECKING:
    from vallum.stage.environment import Deployment


def introspect(deployment: Deployment, service: str, endpoint: str) -> Definition:
    """The definition that the service at `endpoint` gives of itself, asked with the first user's login.

    Raises Inconclusive where it gives none: many turn introspection off, and then a file must say what there is.
    """
    import httpx

    url = deployment.urls[service] + endpoint
    name = f"the introspection of {service} at {endpoint}"
    content = b""
    try:
        with (
            deployment.scope.client() as client,
            client.stream("POST", url, headers=deployment.headers(), json={"query": sdl.INTROSPECTION}) as answer,
        ):
            for chunk in answer.iter_bytes():
                content += chunk
                if len(content) > MAX_BYTES:
                    raise Inconclusive(f"{name} has over {MAX_BYTES} bytes")
            status = answer.status_code
    except httpx.HTTPError as error:
        raise Inconclusive(f"{name} got no answer ({type(error).__name__})") from None
    hint = 'name its schema: definition = { kind = "graphql", file = … }'
    if status >= 400:
        raise Inconclusive(f"{name} answers {status}; {hint}")
    document = parse(content.decode("utf-8", "replace"), name, written_as_json=True)
    if "errors" in document.data and not graphql.belongs(document.data):
        raise Inconclusive(f"{name} answers with an error ({json.dumps(document.data['errors'])[:200]}); {hint}")
    try:
        found = graphql.definition(sdl.introspected(document.data), Path("vallum.toml"), endpoint)
    except MISSHAPEN as error:
        raise Inconclusive(f"{name} is none: {str(error)[:200]}; {hint}") from None
    if not found.operations:
        raise Inconclusive(f"{name} declares no operation")
    return found
