"""The server side of a WebSocket, with a limit on the size of frames.

aiohttp delivers whole messages, but API Gateway also limits frames, and most clients send a message
in one frame, however large: it must fail locally as it does in the cloud. The overridden method is
aiohttp's own; a test checks that it still exists.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aiohttp import WSMessage, WSMsgType, web
from aiohttp.http_websocket import WebSocketReader

# The module is private; WebSocketResponse reads from this class.
from aiohttp._websocket.reader import WebSocketDataQueue  # isort: skip

if TYPE_CHECKING:
    from aiohttp.http_websocket import WebSocketWriter

# https://docs.aws.amazon.com/apigateway/latest/developerguide/apigateway-execution-service-websocket-limits-table.html
FRAME_LIMIT = 32 * 1024
MESSAGE_LIMIT = 128 * 1024
# A frame that is too large is still read to its end: a connection that is closed while the client
# sends is reset, and the client never sees the reason. Only larger frames than this are not read.
_READ_LIMIT = 16 * 1024 * 1024


class TooLarge(Exception):
    """A frame or a message is over the limit."""


class _FrameReader(WebSocketReader):
    """Delivers :class:`TooLarge` instead of a frame that is over the limit."""

    def __init__(self, queue: WebSocketDataQueue) -> None:
        super().__init__(queue, _READ_LIMIT, compress=False, decode_text=True)
        self._messages = queue

    def _handle_frame(self, fin: bool, opcode: int, payload: Any, compressed: int) -> None:
        if len(payload) > FRAME_LIMIT:
            self._messages.feed_data(WSMessage(WSMsgType.ERROR, TooLarge(), None), 0)
            return
        super()._handle_frame(fin, opcode, payload, compressed)


class Socket(web.WebSocketResponse):
    """The server side, without compression as in API Gateway; *protocol*: the agreed
    subprotocol."""

    def __init__(self, protocol: str | None, *, close_wait_s: float) -> None:
        super().__init__(
            timeout=close_wait_s, compress=False, protocols=(protocol,) if protocol else ()
        )

    def _post_start(
        self, request: web.BaseRequest, protocol: str | None, writer: WebSocketWriter
    ) -> None:
        assert self._loop is not None  # noqa: S101  aiohttp has set it just before
        self._ws_protocol = protocol
        self._writer = writer
        self._reader = WebSocketDataQueue(request.protocol, FRAME_LIMIT, loop=self._loop)
        self._parser = _FrameReader(self._reader)
        request.protocol.set_parser(self._parser)
        request.protocol.keep_alive(False)
