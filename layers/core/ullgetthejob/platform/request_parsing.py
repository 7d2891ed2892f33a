"""The parts of an API Gateway event: body, validated models, the user that it names."""

from __future__ import annotations

import base64
import binascii
import json
import re
from typing import TYPE_CHECKING, Any
from uuid import UUID

from pydantic import ValidationError

from ullgetthejob.platform.errors import BadRequest, Invalid, PayloadTooLarge

if TYPE_CHECKING:
    from pydantic import BaseModel

MAX_BODY_BYTES = 256 * 1024
IDEMPOTENCY_KEY = re.compile(r"[!-~]{1,255}")
USER_ID_NAMES = ("user_id", "userId")  # ours, and the BFF's
USER_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def named_user(path: dict[str, str], query: dict[str, str], raw: bytes) -> UUID | None:
    """Return the user that path, query and body name, in either spelling; ``None`` if none does.

    Raises :class:`Invalid` where a value cannot be an id of a user, or the values differ.
    """
    places = [(name, values.get(name)) for values in (path, query) for name in USER_ID_NAMES]
    user_ids = [value for _, value in (*places, *_user_id_members(raw)) if value is not None]
    if not all(isinstance(user_id, str) and USER_ID.fullmatch(user_id) for user_id in user_ids):
        raise Invalid.field("user_id", "must be the id of a user, a UUID")
    distinct = {UUID(user_id) for user_id in user_ids}
    if len(distinct) > 1:
        raise Invalid.field("user_id", "is given more than once, and not the same each time")
    return next(iter(distinct), None)


def _user_id_members(raw: bytes) -> list[tuple[str, Any]]:
    """Return each member of the body that names a user, also a duplicate one, which JSON parsers
    read in different ways (RFC 8259, §4)."""

    def objects(members: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
        return [member for member in members if member[0] in USER_ID_NAMES]

    try:
        content = json.loads(raw, object_pairs_hook=objects)
    except (ValueError, RecursionError):
        return []  # the model that validates the body raises the error
    is_object = raw.lstrip()[:1] == b"{"
    return content if is_object else []


def idempotency_key(headers: dict[str, str]) -> str | None:
    """Return the header ``Idempotency-Key``, ``None`` if not sent. Raises :class:`Invalid`."""
    sent = headers.get("idempotency-key")
    if sent is not None and not IDEMPOTENCY_KEY.fullmatch(sent):
        raise Invalid.field("Idempotency-Key", "must be 1 to 255 printable ASCII characters")
    return sent


def raw_body(event: dict[str, Any]) -> bytes:
    """Return the bytes of the body. Raises :class:`BadRequest`, :class:`PayloadTooLarge`."""
    body = event.get("body") or ""
    if event.get("isBase64Encoded"):
        try:
            raw = base64.b64decode(body, validate=True)
        except binascii.Error:
            raise BadRequest("the body is not valid base64") from None
    else:
        raw = body.encode()
    if len(raw) > MAX_BODY_BYTES:
        raise _too_large()
    return raw


def decode_body(raw: bytes, headers: dict[str, str]) -> bytes:
    """Return the body without its content encoding, which API Gateway passes on as it was sent;
    the signature is of the encoded body. Raises :class:`BadRequest`, :class:`PayloadTooLarge`."""
    encoding = headers.get("content-encoding", "identity").strip().lower()
    if not raw or encoding in ("", "identity"):
        return raw
    if encoding not in ("gzip", "x-gzip"):
        raise BadRequest("the only Content-Encoding is gzip", code="unsupported_encoding")
    import zlib  # requests are rarely compressed

    gzip = zlib.decompressobj(wbits=16 + zlib.MAX_WBITS)
    try:
        text = gzip.decompress(raw, MAX_BODY_BYTES + 1)  # never the whole of a decompression bomb
    except zlib.error:
        raise BadRequest("the body is not valid gzip", code="unsupported_encoding") from None
    if len(text) > MAX_BODY_BYTES:
        raise _too_large()
    if not gzip.eof or gzip.unused_data:
        raise BadRequest("the body is not valid gzip", code="unsupported_encoding")
    return text


def _too_large() -> PayloadTooLarge:
    return PayloadTooLarge(f"the body is larger than {MAX_BODY_BYTES // 1024} KB")


def validate_body(model: type[BaseModel], raw: bytes) -> BaseModel:
    """Return the JSON body as *model*. Raises :class:`BadRequest`, :class:`Invalid`."""
    try:
        return model.model_validate_json(raw or b"null")
    except ValidationError as error:
        problems = _problems(error)
    if problems[0]["type"] == "json_invalid":
        raise BadRequest("the body is not valid JSON", code="invalid_json")
    if problems[0]["type"] == "model_type" and problems[0]["loc"] == ():
        raise BadRequest("the body must be a JSON object", code="invalid_json")
    raise _wrong_fields(problems, json.loads(raw))


def validate_query(model: type[BaseModel], sent: dict[str, str]) -> BaseModel:
    """Return the query string as *model*. Raises :class:`Invalid`."""
    try:
        return model.model_validate(sent)
    except ValidationError as error:
        problems = _problems(error)
    raise _wrong_fields(problems, sent)


def _problems(error: ValidationError) -> list[Any]:
    return list(error.errors(include_url=False, include_input=False, include_context=False))


def _wrong_fields(problems: list[Any], sent: dict[str, Any]) -> Invalid:
    if problems[0]["loc"] == ():
        # A rule about several fields: its message begins with the name of one and a colon.
        name, _, rest = _message(problems[0]["msg"]).partition(": ")
        return Invalid.field(name, rest)
    return Invalid.fields(
        [(_field_name(problem["loc"], sent), _message(problem["msg"])) for problem in problems]
    )


def _field_name(location: tuple[int | str, ...], sent: dict[str, Any]) -> str:
    """Return the field as the caller wrote it: ``area[1]`` in a list, ``area`` for a single value,
    ``rules.formats[0]`` inside another object."""
    first, *rest = location
    name, value = str(first), sent.get(str(first))
    for part in rest:
        if isinstance(part, int) and isinstance(value, list) and part < len(value):
            name, value = f"{name}[{part}]", value[part]
        elif isinstance(part, str) and isinstance(value, dict):
            name, value = f"{name}.{part}", value.get(part)
        else:
            break
    return name


def _message(message: str) -> str:
    """Return pydantic's message without its prefix, beginning with a lower-case letter."""
    text = message.removeprefix("Value error, ")
    return text[:1].lower() + text[1:]
