"""Reading request bodies up to a size limit."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from aiohttp import web


async def read(request: web.BaseRequest, limit: int) -> bytes | None:
    """Return the whole body, or ``None`` when it is over the limit."""
    length = request.content_length
    if length is not None and length > limit:
        return None
    body = bytearray()
    async for chunk in request.content.iter_any():
        body += chunk
        if len(body) > limit:
            return None
    return bytes(body)
