"""``ugtj cloud rotate``: moto's server as AWS, and Postgres for the role's password."""

from __future__ import annotations

import json

import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from cli.commands.cloud import rotation, secret_checks
from tests.fixtures.operator import STACK

FORMER = "f" * 40
PARAMETERS = list(rotation.PARAMETERS.values())


@pytest.fixture
def deployed(operator, monkeypatch):
    """An account with a stack and its secrets, which no function reads."""
    monkeypatch.setattr(rotation, "SETTLING_S", 0)
    contents = dict.fromkeys(rotation.PARAMETERS, FORMER)
    contents["hh"] = json.dumps({"client_id": "an-id", "client_secret": FORMER})
    arns = {
        parameter: operator.create_secret(name, contents[name])
        for name, parameter in rotation.PARAMETERS.items()
    }
    template = {
        "Parameters": {name: {"Type": "String"} for name in arns},
        "Resources": {
            "TokenKey": {
                "Type": "AWS::KMS::Key",
                "Properties": {"KeyPolicy": {"Version": "2012-10-17", "Statement": []}},
            }
        },
    }
    operator.client("cloudformation").create_stack(
        StackName=STACK,
        TemplateBody=json.dumps(template),
        Parameters=[{"ParameterKey": k, "ParameterValue": v} for k, v in arns.items()],
    )
    return operator


def read(operator, name, stage="AWSCURRENT"):
    vault = operator.client("secretsmanager")
    return vault.get_secret_value(SecretId=name, VersionStage=stage)["SecretString"]


def rotate(operator, *arguments):
    return operator.run("rotate", *arguments, file=False)


@pytest.mark.parametrize("name", ["core", "signing", "admin"])
def test_former_value_stays_as_the_previous_version(deployed, name):
    code, out, err = rotate(deployed, name)
    assert code == 0, err
    new = read(deployed, name)
    assert len(new) >= 32
    assert new != FORMER
    assert read(deployed, name, "AWSPREVIOUS") == FORMER
    assert new not in out + err


def test_second_signing_rotation_would_log_people_out(deployed):
    assert rotate(deployed, "signing")[0] == 0
    kept = read(deployed, "signing")
    code, _, err = rotate(deployed, "signing")
    assert code == 1
    assert "30 days" in err
    assert read(deployed, "signing") == kept
    assert rotate(deployed, "signing", "--force")[0] == 0
    assert read(deployed, "signing") != kept


def test_secret_of_the_application_comes_from_the_operator(deployed, monkeypatch):
    monkeypatch.setenv("UGTJ_HH_CLIENT_ID", "an-id")
    monkeypatch.setenv("UGTJ_HH_CLIENT_SECRET", "the-new-one")
    code, out, err = rotate(deployed, "hh")
    assert code == 0, err
    assert json.loads(read(deployed, "hh"))["client_secret"] == "the-new-one"
    assert "the-new-one" not in out + err


def test_unknown_secret_is_refused(deployed):
    code, _, err = rotate(deployed, "token")
    assert code == 2
    assert "core, signing, admin, hh, database, key" in err


def test_key_gets_new_material_and_keeps_its_id(deployed):
    kms = deployed.client("kms")
    key_id = deployed.client("cloudformation").describe_stack_resource(
        StackName=STACK, LogicalResourceId="TokenKey"
    )["StackResourceDetail"]["PhysicalResourceId"]
    sealed = kms.encrypt(KeyId=key_id, Plaintext=b"a token")["CiphertextBlob"]
    code, _, err = rotate(deployed, "key")
    assert code == 0, err
    assert len(kms.list_key_rotations(KeyId=key_id)["Rotations"]) == 1
    assert kms.decrypt(KeyId=key_id, CiphertextBlob=sealed)["Plaintext"] == b"a token"


@pytest.fixture
def role(deployed, database_url, monkeypatch):
    """The role of the tests, which gets its password back; the server here has no TLS."""
    parts = conninfo_to_dict(database_url)
    fields = {"host": parts["host"], "port": int(parts["port"]), "username": parts["user"]}
    fields |= {"password": parts["password"], "dbname": parts["dbname"]}
    deployed.client("secretsmanager").put_secret_value(
        SecretId="database", SecretString=json.dumps(fields)
    )
    with_tls = secret_checks.conninfo_of_content
    monkeypatch.setattr(
        rotation,
        "conninfo_of_content",
        lambda *given: make_conninfo(with_tls(*given), sslmode="disable"),
    )
    with psycopg.connect(database_url, autocommit=True) as connection:
        yield fields
        connection.execute(f"ALTER ROLE {parts['user']} PASSWORD '{parts['password']}'")


def connects(fields, password):
    try:
        psycopg.connect(
            host=fields["host"], port=fields["port"], user=fields["username"],
            password=password, dbname=fields["dbname"],
        ).close()  # fmt: skip
    except psycopg.OperationalError:
        return False
    return True


def test_password_and_secret_change_together(deployed, role):
    code, out, err = rotate(deployed, "database")
    assert code == 0, err
    stored = json.loads(read(deployed, "database"))
    assert stored == {**role, "password": stored["password"]}
    assert connects(role, stored["password"])
    assert not connects(role, role["password"])
    assert stored["password"] not in out + err


def test_password_stays_when_the_secret_cannot_be_stored(deployed, role, monkeypatch):
    def refuse(*arguments):
        raise rotation.CommandError("these credentials may not call PutSecretValue")

    monkeypatch.setattr(rotation, "_put", refuse)
    assert rotate(deployed, "database")[0] == 1
    assert connects(role, role["password"])


def test_address_in_one_text_is_not_rotated(deployed):
    code, _, err = rotate(deployed, "database")
    assert code == 1
    assert "is a URL" in err
