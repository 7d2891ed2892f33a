"""Rotation of each secret and key while callers go on: none of them sees an error.

Functions refer to AWS's secrets, as deployed ones do; the operator changes them in between, or in
the middle of the calls.
"""

from __future__ import annotations

import json
import threading
import time
from types import SimpleNamespace
from uuid import uuid4

import jwt
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.commands.cloud import rotation
from ullgetthejob.platform import postgres, secrets

FORMER, NEW = "f" * 40, "n" * 40


class Vault:
    """Secrets of the local AWS, and the variables that refer to them."""

    def __init__(self, client, monkeypatch):
        self.client, self.monkeypatch = client, monkeypatch

    def keep(self, variable, content, *, key=None):
        """Create a secret for *variable*, with its previous version; return its ARN."""
        arn = self.client.create_secret(Name=f"{variable}-{uuid4()}", SecretString=content)["ARN"]
        suffix = f"#{key}" if key else ""
        self.monkeypatch.setenv(variable, f"secretsmanager:{arn}{suffix}")
        self.monkeypatch.setenv(f"{variable}_PREVIOUS", f"secretsmanager:{arn}@AWSPREVIOUS")
        return arn

    def put(self, arn, content):
        self.client.put_secret_value(SecretId=arn, SecretString=content)


@pytest.fixture
def vault(core, local_aws, monkeypatch):
    client = local_aws.client("secretsmanager")
    secrets.clear_cache()
    yield Vault(client, monkeypatch)
    client.close()
    secrets.clear_cache()


def new_environments():
    """Let secrets and connections be read anew, as new environments do."""
    secrets.clear_cache()
    postgres.close()


def show(core, user_id, **credentials):
    return core.call("GET /api/accounts/{user_id}", parameters={"user_id": user_id}, **credentials)


@pytest.mark.parametrize("is_attacked", [False, True])
def test_service_is_served_with_either_secret(core, vault, monkeypatch, is_attacked):
    arn = vault.keep("ORCHESTRATOR_SECRET", FORMER)
    user_id = str(uuid4())
    core.rows(
        "INSERT INTO users (id, email, password_hash, inserted_at, updated_at)"
        " VALUES (%s, 'x', '!', now(), now())",
        user_id,
    )
    assert show(core, user_id, secret=FORMER).status == 200
    if is_attacked:  # both versions were read a moment before the rotation
        assert show(core, user_id, secret="wrong").status == 401
    vault.put(arn, NEW)
    assert show(core, user_id, secret=FORMER).status == 200
    if is_attacked:  # "ugtj cloud rotate" ends after this time, and then the BFF gets the secret
        later = secrets.time.monotonic() + rotation.SETTLING_S
        monkeypatch.setattr(secrets, "time", SimpleNamespace(monotonic=lambda: later))
    for _ in range(3):
        assert show(core, user_id, secret=NEW).status == 200
        assert show(core, user_id, secret=FORMER).status == 200
    assert rotation.SETTLING_S > secrets.REREAD_INTERVAL_S


def test_administrator_is_served_with_either_secret(core, vault):
    arn = vault.keep("ADMIN_SECRET", FORMER)

    def reset(secret):
        options = {"parameters": {"user_id": str(uuid4())}, "headers": {"x-admin-secret": secret}}
        return core.call("DELETE /api/rate-limit/{user_id}", secret=None, **options).status

    assert reset(FORMER) == 200
    vault.put(arn, NEW)
    assert [reset(NEW), reset(FORMER), reset(NEW)] == [200, 200, 200]
    assert reset("wrong") == 401
    vault.put(arn, "third" * 8)
    new_environments()
    assert reset(FORMER) == 401  # rotated twice, it has ended


@pytest.fixture
def environments(monkeypatch):
    """Several environments of a function, each with its own cache of secrets: enter one by name."""
    caches = {}

    def enter(name):
        for attribute in ("_cache", "_read_again_at"):
            known = caches.setdefault((name, attribute), {})
            monkeypatch.setattr(secrets, attribute, known)

    return enter


def test_people_stay_logged_in_while_the_signing_secret_changes(core, vault, environments):
    arn = vault.keep("SECRET_KEY_BASE", FORMER)
    user_id, old = core.log_in("anna")
    environments("has the former")
    assert show(core, user_id, jwt=old, secret=None).status == 200
    # An attack a moment before the rotation: the secret is not read again for a while.
    assert show(core, user_id, jwt=f"{old[:-4]}AAAA", secret=None).status == 401
    vault.put(arn, NEW)
    environments("has the new")
    _, new = core.log_in("anna", user_id)
    for name in ("has the former", "has the new"):
        environments(name)
        for token in (new, old):
            assert show(core, user_id, jwt=token, secret=None).status == 200


def test_new_signing_secret_signs_once_all_have_read_it(core, vault, monkeypatch):
    arn = vault.keep("SECRET_KEY_BASE", FORMER)
    kids = []
    for rotated, later in ((False, 0), (True, 0), (False, secrets.CACHE_TTL_S), (False, 600)):
        if rotated:
            vault.put(arn, NEW)
            secrets.clear_cache()
        now = time.time() + later
        clock = SimpleNamespace(time=lambda now=now: now, monotonic=time.monotonic)
        monkeypatch.setattr(secrets, "time", clock)
        kids.append(jwt.get_unverified_header(core.log_in("anna")[1])["kid"])
    assert kids == [kids[0]] * 3 + [kids[3]]
    assert kids[3] != kids[0]


def test_logins_go_on_while_the_applications_secret_changes(core, vault):
    content = {"client_id": core.sandbox.client_id, "client_secret": "the former, which has ended"}
    arn = vault.client.create_secret(Name=str(uuid4()), SecretString=json.dumps(content))["ARN"]
    for variable, key in (("HH_CLIENT_ID", "client_id"), ("HH_CLIENT_SECRET", "client_secret")):
        vault.monkeypatch.setenv(variable, f"secretsmanager:{arn}#{key}")
    code = core.code()  # the secrets are read now
    vault.put(arn, json.dumps({**content, "client_secret": core.sandbox.client_secret}))
    reply = core.callback(code, str(uuid4()))
    assert reply.status == 200, reply


def test_stored_tokens_are_read_while_the_key_gets_new_material(core, local_aws, dynamodb_tables):
    user_id, token = core.log_in("anna")
    kms = local_aws.client("kms")
    kms.rotate_key_on_demand(KeyId=dynamodb_tables["TOKEN_KEY_ID"])
    kms.close()
    assert core.call("GET /api/hh/resumes", jwt=token, secret=None).status == 200
    core.log_in("anna", user_id)
    assert core.call("GET /api/hh/resumes", jwt=token, secret=None).status == 200


@pytest.fixture
def role(core, vault):
    """The role of the tests, which gets its password back, and an operator's connection."""
    parts = conninfo_to_dict(core.database_url)
    arn = vault.keep("DATABASE_URL", core.database_url)
    with psycopg.connect(core.database_url) as operator:

        def change(password):
            operator.execute(f"ALTER ROLE {parts['user']} PASSWORD '{password}'")
            vault.put(arn, make_conninfo(core.database_url, password=password))

        yield SimpleNamespace(operator=operator, change=change)
        operator.rollback()
        operator.execute(f"ALTER ROLE {parts['user']} PASSWORD '{parts['password']}'")
    postgres.close()


def test_connections_open_throughout_a_change_of_password(core, vault, role):
    """The secret is stored before the password's change commits; both may be seen in between."""
    user_id = str(uuid4())

    def call():
        postgres.close()  # each call opens a connection
        return show(core, user_id).refusal

    found = (404, "user_not_found")
    assert call() == found
    role.change(NEW)
    assert call() == found  # an environment with the former secret
    secrets.clear_cache()
    assert call() == found  # one with the new secret, which the role does not have yet
    role.operator.commit()
    assert call() == found
    secrets.clear_cache()
    assert call() == found


@pytest.fixture
def during_rotations(vault):
    """Call on, while another thread rotates: return what the calls answered."""

    def run(rotate, call, *, rotations):
        answers, ended = [], threading.Event()

        def rotate_all():
            try:
                for number in range(rotations):
                    ended.wait(0.1)
                    rotate(f"{number}" * 40)
                    ended.wait(0.2)
            finally:
                ended.set()

        vault.monkeypatch.setattr(secrets, "REREAD_INTERVAL_S", 0.02)
        thread = threading.Thread(target=rotate_all)
        thread.start()
        while not ended.is_set() or len(answers) < 10:
            answers.append(call())
        thread.join()
        return answers

    return run


def test_callers_see_no_error_while_the_password_changes(core, role, during_rotations):
    user_id = str(uuid4())

    def rotate(password):
        role.change(password)
        role.operator.commit()

    def call():
        postgres.close()
        return show(core, user_id).status

    assert set(during_rotations(rotate, call, rotations=4)) == {404}


def test_callers_see_no_error_while_the_service_secret_changes(core, vault, during_rotations):
    user_id = core.log_in("anna")[0]
    arn = vault.keep("ORCHESTRATOR_SECRET", FORMER)
    sent = [FORMER]

    def rotate(secret):
        vault.put(arn, secret)  # the BFF gets it afterwards
        sent.append(secret)

    def call():
        return show(core, user_id, secret=sent[-1]).status

    assert set(during_rotations(rotate, call, rotations=4)) == {200}
    assert len(sent) == 5


def test_people_see_no_error_while_the_signing_secret_changes(core, vault, during_rotations):
    arn = vault.keep("SECRET_KEY_BASE", FORMER)
    user_id, old = core.log_in("anna")

    def call():
        new = core.log_in("anna", user_id)[1]
        secrets.clear_cache()  # the next call may meet a new environment
        return [show(core, user_id, jwt=token, secret=None).status for token in (old, new)]

    answers = during_rotations(lambda secret: vault.put(arn, secret), call, rotations=1)
    assert answers == [[200, 200]] * len(answers)


def test_people_see_no_error_while_the_key_gets_new_material(
    core, local_aws, dynamodb_tables, during_rotations
):
    user_id, token = core.log_in("anna")
    kms = local_aws.client("kms")

    def call():
        core.log_in("anna", user_id)  # encrypts; the resumes need what is decrypted
        return core.call("GET /api/hh/resumes", jwt=token, secret=None).status

    def rotate(_):
        kms.rotate_key_on_demand(KeyId=dynamodb_tables["TOKEN_KEY_ID"])

    assert set(during_rotations(rotate, call, rotations=3)) == {200}
    kms.close()
