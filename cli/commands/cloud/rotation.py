"""``ugtj cloud rotate``: a new value for a secret, while callers go on with the former one.

Secrets Manager keeps the former value as AWSPREVIOUS, which Core accepts for the BFF's and the
administrator's secret and for signatures; to end a secret that leaked, rotate it twice. Functions
read a secret again when it is refused, so that no deployment is needed.
"""

from __future__ import annotations

import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from cli.aws_client import translate_errors
from cli.commands.cloud.bootstrap import ask_application, generate_secret
from cli.commands.cloud.secret_checks import CONNECT_TIMEOUT_S, conninfo_of_content
from cli.commands.cloud.target import parameters_of
from cli.output import UNREACHABLE, USAGE, CommandError

if TYPE_CHECKING:
    from cli.commands.cloud.target import Target

PARAMETERS = {
    "core": "CoreSecretArn",
    "signing": "SigningSecretArn",
    "admin": "AdminSecretArn",
    "hh": "HhApplicationSecretArn",
    "database": "DatabaseSecretArn",
}
NEXT = {
    "core": "give the BFF the new secret; Core accepts both until the next rotation",
    "signing": "nothing: JWTs signed with the former secret stay valid",
    "admin": "give administrators the new secret; Core accepts both until the next rotation",
    "hh": "revoke the former secret at dev.hh.ru",
    "database": "nothing: a refused password is read again",
    "key": "nothing: KMS decrypts what the former key material encrypted",
}
NAMES = (*PARAMETERS, "key")
# Longer than functions wait before they read a secret again (REREAD_INTERVAL_S of
# platform/secrets.py): a caller with the new secret is served by every one of them.
SETTLING_S = 6.0
# JWTs are valid for 30 days, only the version before the current one is accepted, and it signs for
# ten minutes longer (SPREADING_S of platform/secrets.py).
SIGNING_INTERVAL = timedelta(days=31)


def rotate(target: Target, name: str, *, force: bool) -> str:
    """Rotate a secret; return what is left to do. Raises :class:`CommandError`."""
    if name not in NAMES:
        raise CommandError(f"the secrets are {', '.join(NAMES)}, not {name}", code=USAGE)
    if name == "key":
        _rotate_key(target)
        return NEXT[name]
    arn = parameters_of(target.require_stack()).get(PARAMETERS[name], "")
    if not arn:
        step = f"set {PARAMETERS[name]} and deploy"
        raise CommandError(f"the stack {target.stack} has no secret {name}", step)
    client = target.client("secretsmanager")
    with translate_errors():
        described = client.describe_secret(SecretId=arn)
    if described.get("RotationEnabled"):
        step = f"aws secretsmanager rotate-secret --secret-id {arn} {target.arguments}"
        raise CommandError(f"Secrets Manager rotates the secret {name} itself", step)
    if name == "signing" and not force:
        _require_old_enough(client, arn)
    if name == "database":
        _rotate_database(client, arn, parameters_of(target.require_stack()))
    else:
        _put(client, arn, ask_application() if name == "hh" else generate_secret())
        time.sleep(SETTLING_S)
    return NEXT[name]


def _rotate_key(target: Target) -> None:
    """Let KMS make new material for the key that encrypts tokens: its id, and so every function,
    stays as it is; what the former material encrypted stays readable. Raises
    :class:`CommandError`."""
    target.require_stack()
    with translate_errors():
        found = target.client("cloudformation").describe_stack_resource(
            StackName=target.stack, LogicalResourceId="TokenKey"
        )
        key_id = found["StackResourceDetail"]["PhysicalResourceId"]
        target.client("kms").rotate_key_on_demand(KeyId=key_id)


def _put(client: Any, arn: str, content: str) -> None:
    with translate_errors():
        client.put_secret_value(SecretId=arn, SecretString=content)


def _require_old_enough(client: Any, arn: str) -> None:
    """Refuse a second rotation while JWTs of the version before the current one are valid."""
    with translate_errors():
        versions = client.list_secret_version_ids(SecretId=arn, IncludeDeprecated=True)["Versions"]
    stages = {stage for version in versions for stage in version.get("VersionStages", [])}
    if "AWSPREVIOUS" not in stages:
        return  # never rotated: the first version becomes the previous one
    (current,) = [v for v in versions if "AWSCURRENT" in v.get("VersionStages", [])]
    age = datetime.now(UTC) - current["CreatedDate"]
    if age < SIGNING_INTERVAL:
        raise CommandError(
            f"the signing secret was rotated {age.days} days ago: JWTs that the version before "
            "signed, which are valid for 30 days, would become invalid",
            "wait, or to log those people out: --force",
        )


def _rotate_database(client: Any, arn: str, parameters: dict[str, str]) -> None:
    """Change the role's password and the secret together. Raises :class:`CommandError`.

    The secret is stored before the change commits: if it cannot be stored, nothing has changed.
    """
    import psycopg
    from psycopg import sql

    from ullgetthejob.platform.database_address import SENTENCES, KeyMissing, cause_of

    with translate_errors():
        content = client.get_secret_value(SecretId=arn)["SecretString"]
    if not content.lstrip().startswith("{"):
        step = 'store it as JSON with the keys "host", "username", "password", "dbname"'
        raise CommandError("the database's secret is a URL, whose password is not changed", step)
    try:
        conninfo = conninfo_of_content(content, parameters)
    except KeyMissing as error:
        raise CommandError(f"the database's secret {error}", "ugtj cloud check") from None
    if conninfo is None:
        step = "run it where the file of DatabaseTlsRootCertificates is"
        raise CommandError("the database's certificates are not on this machine", step)
    fields = {**json.loads(content), "password": generate_secret()}
    change = sql.SQL("ALTER ROLE {} PASSWORD {}").format(
        sql.Identifier(fields["username"]), sql.Literal(fields["password"])
    )
    try:
        with psycopg.connect(conninfo, connect_timeout=CONNECT_TIMEOUT_S) as connection:
            connection.execute(change)
            _put(client, arn, json.dumps(fields))
    except psycopg.Error as error:
        # Not the error's own text: it may quote the statement, or the whole address.
        cause = SENTENCES[cause_of(error)]
        message = f"the password was not changed; the database: {cause}"
        step = "run it where the database can be reached"
        raise CommandError(message, step, code=UNREACHABLE) from None
