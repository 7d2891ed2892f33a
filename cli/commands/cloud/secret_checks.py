"""Whether the secrets that the parameters name exist, and hold what the functions read.

No message quotes a secret, nor what libpq says of one.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from cli.aws_client import DENIED, translate_errors
from cli.doctor.checks import Finding

if TYPE_CHECKING:
    from collections.abc import Mapping

    from cli.commands.cloud.target import Target

ARN = re.compile(r"arn:aws[a-z-]*:secretsmanager:(?P<region>[^:]+):(?P<account>\d*):secret:(\S+)")
LEAST_SIGNING_CHARACTERS = 32
OLDEST_POSTGRES = 140_000
CONNECT_TIMEOUT_S = 5
SELECT_CAN_CREATE = """
    SELECT has_schema_privilege(current_schema(), 'CREATE') AND NOT pg_is_in_recovery()
"""


@dataclass(frozen=True)
class Shape:
    """What a secret must hold: *keys* of a JSON object, or a plain text of *least* characters."""

    keys: tuple[str, ...] = ()
    least: int = 1


SHAPES = {
    "DatabaseSecretArn": Shape(keys=("host", "username", "password")),
    "CoreSecretArn": Shape(),
    "SigningSecretArn": Shape(least=LEAST_SIGNING_CHARACTERS),
    "AdminSecretArn": Shape(),
    "HhApplicationSecretArn": Shape(keys=("client_id", "client_secret")),
    "HhAccessTokenSecretArn": Shape(),
    "TelegramSecretArn": Shape(keys=("bot_token", "webhook_secret")),
}


def shape_of(name: str, parameters: Mapping[str, str]) -> Shape:
    """Return what the secret of a parameter must hold. The database's needs no host if
    ``DatabaseHost`` names it: a secret that RDS manages has none."""
    shape = SHAPES[name]
    if name == "DatabaseSecretArn" and parameters.get("DatabaseHost"):
        return replace(shape, keys=tuple(key for key in shape.keys if key != "host"))
    return shape


def check_secrets(target: Target, parameters: Mapping[str, str]) -> list[Finding]:
    """Check each secret that *parameters* name, and connect to the database of one of them."""
    findings = []
    database = None
    for name in SHAPES:
        arn = parameters.get(name, "")
        if not ARN.fullmatch(arn):
            continue  # not used, or malformed: which the parameters' own check says
        shape = shape_of(name, parameters)
        content, problem = _read_secret(target, name, arn)
        problem = problem or _find_problem(target, name, arn, content, shape)
        if problem is not None:
            findings.append(problem)
        elif name == "DatabaseSecretArn":
            database = content
    if not findings:
        findings.append(Finding("secrets", "ok", "the secrets exist and hold what Core reads"))
    if database is not None:
        findings.append(check_database(database, parameters))
    return findings


def _read_secret(target: Target, name: str, arn: str) -> tuple[str, Finding | None]:
    """Return the content of a secret, or what is wrong."""
    from botocore.exceptions import ClientError

    found = ARN.fullmatch(arn)
    assert found is not None  # noqa: S101 - the caller has matched it
    if found["region"] != target.region:
        message = f"the secret of {name} is in {found['region']}, the stack in {target.region}"
        step = f"aws secretsmanager replicate-secret-to-regions --secret-id {arn} "
        step += f"--region {found['region']} --add-replica-regions Region={target.region}"
        return "", Finding("secrets", "problem", message, step)
    with translate_errors():
        try:
            content = target.client("secretsmanager").get_secret_value(SecretId=arn)
        except ClientError as error:
            return "", _absent(target, name, arn, str(error.response["Error"]["Code"]))
    return str(content.get("SecretString") or ""), None


def _absent(target: Target, name: str, arn: str, code: str) -> Finding:
    if code in DENIED:
        message = f"these credentials may not read the secret of {name}: its content is not checked"
        return Finding("secrets", "warning", message, "allow secretsmanager:GetSecretValue")
    if code == "ResourceNotFoundException":
        step = f"ugtj cloud init --stage {target.stage}"
        return Finding("secrets", "problem", f"the secret of {name} does not exist: {arn}", step)
    if code == "InvalidRequestException":
        step = f"aws secretsmanager restore-secret --secret-id {arn} {target.arguments}"
        message = f"the secret of {name} is marked for deletion: {arn}"
        return Finding("secrets", "problem", message, step)
    message = f"the secret of {name} cannot be read ({code})"
    return Finding("secrets", "problem", message, "look at the key that encrypts it")


def _find_problem(
    target: Target, name: str, arn: str, content: str, shape: Shape
) -> Finding | None:
    problem = describe_problem(name, content, shape)
    if problem is None:
        return None
    step = f"aws secretsmanager put-secret-value --secret-id {arn} {target.arguments} "
    step += "--secret-string file://…"
    if problem == "lacks the key host":
        step = f"write DatabaseHost in {target.file.name}: a secret that RDS manages has no host"
    return Finding("secrets", "problem", f"the secret of {name} {problem}", step)


def describe_problem(name: str, content: str, shape: Shape) -> str | None:
    """Return what a secret lacks, without quoting it; ``None`` if it is as it should be."""
    if not shape.keys:
        if content.lstrip().startswith("{"):
            return "is a JSON object, and must be a plain text"
        if len(content) < shape.least:
            return f"has {len(content)} characters, and needs {shape.least} or more"
        return None
    if name == "DatabaseSecretArn" and not content.lstrip().startswith("{"):
        return None if _is_address(content) else "is neither JSON nor a connection URL"
    try:
        fields = json.loads(content)
    except ValueError:
        fields = None
    if not isinstance(fields, dict):
        return "is not a JSON object"
    missing = [key for key in shape.keys if not fields.get(key)]
    return f"lacks the key {' and '.join(missing)}" if missing else None


def _is_address(content: str) -> bool:
    from ullgetthejob.platform.database_address import AddressUnreadable, normalised

    try:
        normalised(content)
    except AddressUnreadable:
        return False
    return bool(content.strip())


def check_database(content: str, parameters: Mapping[str, str]) -> Finding:
    """Connect to the database as the functions will, if it can be reached from here."""
    import psycopg

    from ullgetthejob.platform.database_address import SENTENCES, cause_of

    if parameters.get("SubnetIds"):
        message = "not connected to: it is in the functions' subnets; the migrator will connect"
        return Finding("database", "unknown", message)
    conninfo = conninfo_of_content(content, parameters)
    if conninfo is None:
        message = "not connected to: its certificates are in a layer; the migrator will connect"
        return Finding("database", "unknown", message)
    try:
        with psycopg.connect(conninfo, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            version = connection.info.server_version
            row = connection.execute(SELECT_CAN_CREATE).fetchone()
    except psycopg.Error as error:
        # Not the error's own text: libpq may quote the whole address.
        cause = cause_of(error)
        return Finding("database", "problem", f"the database: {SENTENCES[cause]}", STEPS[cause])
    if version < OLDEST_POSTGRES:
        message = f"the database is Postgres {version // 10_000}; Core needs 14 or newer"
        return Finding("database", "problem", message, "upgrade it")
    if row is None or not row[0]:
        message = (
            "the role may not create tables in the database's schema, or the server only reads"
        )
        return Finding("database", "problem", message, "GRANT CREATE ON SCHEMA public TO <role>")
    return Finding(
        "database", "ok", f"Postgres {version // 10_000} takes the role and its password"
    )


MEND_SECRET = "correct the secret of DatabaseSecretArn"  # noqa: S105 - an instruction
STEPS = {
    "password_refused": f"{MEND_SECRET}: username and password",
    "role_refused": f"{MEND_SECRET}: username and dbname",
    "host_unknown": f"{MEND_SECRET}: host",
    "certificate_refused": "set DatabaseTlsRootCertificates: rds for RDS and Aurora, public for RDS"
    " Proxy and Neon, else a file with the server's authority",
    "connection_refused": f"{MEND_SECRET}: host and port",
    "no_connection_left": "end idle connections, or raise max_connections",
    "starting_or_stopping": "wait until it has started",
    "no_answer": "let this address in, or set SubnetIds if it is reached from a VPC alone",
    "other": "look at the server's log",
}


def conninfo_of_content(content: str, parameters: Mapping[str, str]) -> str | None:
    """Return libpq's connection string of the database's secret, as the functions use it; ``None``
    if its certificates are not on this machine.

    Raises :class:`~ullgetthejob.platform.database_address.KeyMissing`, ``AddressUnreadable``.
    """
    from psycopg.conninfo import conninfo_to_dict

    from ullgetthejob.platform.database_address import Stated, conninfo_of_secret

    choice = parameters.get("DatabaseTlsRootCertificates") or "public"
    names = ("DatabaseHost", "DatabasePort", "DatabaseName")
    stated = Stated(choice, *(parameters.get(name, "") for name in names))
    conninfo = conninfo_of_secret(content, stated)
    certificates = conninfo_to_dict(conninfo).get("sslrootcert")
    return conninfo if not certificates or Path(str(certificates)).exists() else None
