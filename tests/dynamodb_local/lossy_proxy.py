"""A proxy to DynamoDB that loses replies: the request arrives, its reply does not."""

from __future__ import annotations

import http.client
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import urlsplit


class LossyProxy:
    """A proxy at *url* in front of *upstream*, which loses every second reply and hangs up."""

    def __init__(self, upstream: str) -> None:
        self.passed = 0
        self.lost = 0
        self._lock = threading.Lock()
        self._upstream = urlsplit(upstream).netloc
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                status, body = proxy.forward(self)
                if proxy.loses():
                    self.close_connection = True
                    return
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                """Log nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def forward(self, request: BaseHTTPRequestHandler) -> tuple[int, bytes]:
        """Return the status and the body of DynamoDB's reply."""
        body = request.rfile.read(int(request.headers["Content-Length"]))
        connection = http.client.HTTPConnection(self._upstream, timeout=10)
        connection.request("POST", "/", body, dict(request.headers))
        response = connection.getresponse()
        reply = response.read()
        connection.close()
        return response.status, reply

    def loses(self) -> bool:
        """Return whether this reply is to be lost."""
        with self._lock:
            lost = self.lost <= self.passed
            self.lost += lost
            self.passed += not lost
            return lost

    def stop(self) -> None:
        """Stop the proxy."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()
