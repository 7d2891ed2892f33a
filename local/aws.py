"""AWS on a laptop: moto's server, made durable.

``python -m local.aws --port N --data-dir DIR`` serves DynamoDB, KMS, SQS, Secrets Manager, SSM and
the other services of moto. moto itself loses all state when it ends, so

* every change of a DynamoDB item is in ``DIR/items.sqlite`` before it is acknowledged, and is
  loaded at the next start into the template's tables (:mod:`local.aws_items`);
* the template's KMS keys have fixed ids, and their material is stored in ``DIR/keys.json``.

The template's SQS queues exist, but messages are lost when this process ends: they are wake-ups,
and the sweeper sends new ones (:mod:`local.aws_queues`). Their timing (visibility, delay,
retention) is in real time, as in the cloud, independent of the local clock.

Secrets and parameters are not persisted: locally functions get theirs as environment variables.
"""

from __future__ import annotations

import argparse
import base64
import json
import secrets
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from moto.core.exceptions import JsonRESTError
from moto.kms.exceptions import AccessDeniedException
from moto.kms.models import kms_backends
from moto.moto_server.werkzeug_app import (
    DomainDispatcherApplication,
    MotoRequestHandler,
    create_backend_app,
)
from moto.sqs.models import sqs_backends
from werkzeug.serving import make_server

from local.aws_items import DurableDynamoDB, Items, create_tables
from local.aws_queues import create_queues, replace_slow_parts, serialize_requests
from local.settings import write_privately
from local.template.cloudformation import ACCOUNT_ID, REGION
from local.template.reader import TEMPLATE, load

if TYPE_CHECKING:
    from collections.abc import Iterable

    from local.template.resources import Key


def create_keys(keys: Iterable[Key], path: Path) -> None:
    """Create *keys* under their fixed ids, with the material stored in the file *path*."""
    stored_material: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    backend = kms_backends[ACCOUNT_ID][REGION]
    for key in keys:
        if key.key_id not in stored_material:
            stored_material[key.key_id] = base64.b64encode(secrets.token_bytes(32)).decode()
            write_privately(path, json.dumps(stored_material, indent=2))
        stored = backend.create_key("", "ENCRYPT_DECRYPT", "SYMMETRIC_DEFAULT", key.description, [])
        del backend.keys[stored.id]
        stored.id, stored.arn = key.key_id, key.arn
        stored.key_material = base64.b64decode(stored_material[key.key_id])
        backend.keys[stored.id] = stored


class _IncorrectKey(JsonRESTError):
    code = 400

    def __init__(self) -> None:
        super().__init__("IncorrectKeyException", "")


def raise_incorrect_key() -> None:
    """Let a Decrypt that names another key than the ciphertext's fail with IncorrectKeyException,
    as KMS does; moto denies access."""
    backend = kms_backends[ACCOUNT_ID][REGION]
    decrypt = backend.decrypt

    def decrypt_as_kms(
        ciphertext_blob: bytes, encryption_context: dict[str, str], key_id: str | None = None
    ) -> tuple[bytes, str]:
        try:
            return decrypt(ciphertext_blob, encryption_context, key_id)
        except AccessDeniedException:
            raise _IncorrectKey from None

    backend.decrypt = decrypt_as_kms  # type: ignore[method-assign]


class _Handler(MotoRequestHandler):
    protocol_version = "HTTP/1.1"  # connections stay open
    timeout = 30  # seconds for the next byte of a request, and for the next request
    disable_nagle_algorithm = True  # or each body waits for the acknowledgement of its header

    def log_request(self, code: int | str = "-", size: int | str = "-") -> None:
        pass


def serve(host: str, port: int, data_dir: Path, template: Path) -> None:
    """Serve until killed. Prints the address when it listens."""
    description = load(template)
    data_dir.mkdir(parents=True, exist_ok=True, mode=0o700)
    items = Items(data_dir / "items.sqlite")
    create_tables(description.tables.values(), items)
    create_keys(description.keys.values(), data_dir / "keys.json")
    raise_incorrect_key()
    create_queues(description.queues.values())
    replace_slow_parts(sqs_backends[ACCOUNT_ID][REGION])
    serialize_requests(sqs_backends[ACCOUNT_ID][REGION])
    application = DurableDynamoDB(DomainDispatcherApplication(create_backend_app), items)
    server = make_server(host, port, application, threaded=True, request_handler=_Handler)
    print(f"AWS listens on http://{host}:{server.server_port}", flush=True)
    server.serve_forever()


def main(arguments: list[str] | None = None) -> int:
    """Run the command line and return its exit code."""
    parser = argparse.ArgumentParser("python -m local.aws", description="AWS on a laptop")
    parser.add_argument("--port", type=int, default=0, help="0 (the default) takes a free port")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data-dir", type=Path, required=True, help="the folder of durable state")
    parser.add_argument("--template", type=Path, default=TEMPLATE)
    options = parser.parse_args(arguments)
    serve(options.host, options.port, options.data_dir, options.template)
    return 0


if __name__ == "__main__":
    sys.exit(main())
