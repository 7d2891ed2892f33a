"""Secrets Manager for a benchmark: secrets are stored as in the cloud, and calls are counted."""

from __future__ import annotations

import http.client
import json
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import boto3

from ullgetthejob.platform.settings import REFERENCE

if TYPE_CHECKING:
    from collections.abc import Mapping


class SecretsManager:
    """A relay to the local AWS at *endpoint* that counts the calls, by operation."""

    def __init__(self, endpoint: str) -> None:
        self.calls: Counter[str] = Counter()
        self._client = boto3.client(
            "secretsmanager",
            endpoint_url=endpoint,
            region_name="us-east-1",
            aws_access_key_id="benchmark",
            aws_secret_access_key="benchmark",
        )
        self._arns: dict[str, str] = {}
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _relay(endpoint, self.calls))
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def environment(self, declared: Mapping[str, str], given: Mapping[str, str]) -> dict[str, str]:
        """Store every secret of the variables *given*, and return these with a reference in place
        of each secret for which *declared*, the template's variables, has one."""
        contents: dict[str, Any] = {}
        references = {name: REFERENCE.fullmatch(declared.get(name, "")) for name in given}
        for name, reference in references.items():
            if reference is None or reference["stage"] is not None or not given[name]:
                continue
            if reference["key"] is None:
                contents[reference["arn"]] = given[name]
            else:
                contents.setdefault(reference["arn"], {})[reference["key"]] = given[name]
        for named, content in contents.items():
            if named not in self._arns:
                text = content if isinstance(content, str) else json.dumps(content)
                secret = self._client.create_secret(Name=named, SecretString=text)
                self._arns[named] = secret["ARN"]
        own = {
            name: declared[name].replace(reference["arn"], self._arns[reference["arn"]])
            for name, reference in references.items()
            if reference is not None and reference["arn"] in self._arns
        }
        address = f"http://127.0.0.1:{self._server.server_port}"
        return {**given, **own, "AWS_ENDPOINT_URL_SECRETS_MANAGER": address}


def _relay(endpoint: str, calls: Counter[str]) -> type[BaseHTTPRequestHandler]:
    host = urlsplit(endpoint).netloc

    class Relay(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            calls[self.headers["x-amz-target"].rpartition(".")[2]] += 1
            upstream = http.client.HTTPConnection(host)
            headers = {
                name: value for name, value in self.headers.items() if name.lower() != "host"
            }
            upstream.request("POST", self.path, body, {**headers, "Host": host})
            response = upstream.getresponse()
            text = response.read()
            self.send_response(response.status)
            self.send_header("content-type", response.headers["content-type"])
            self.send_header("content-length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)
            upstream.close()

        def log_message(self, *_: object) -> None:
            pass

    return Relay
