"""Signature Version 4, compared with botocore's."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ullgetthejob.platform import aws

SECRET = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY"


@pytest.mark.parametrize("token", ["", "a-session-token/with+signs=="])
@pytest.mark.parametrize("service", sorted(aws.PROTOCOLS))
def test_signature_equals_that_of_botocore(monkeypatch, service, token):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY")
    monkeypatch.setenv("AWS_SESSION_TOKEN", token)
    host = f"{service}.eu-central-1.amazonaws.com"
    body = '{"Ключ": "значение"}'.encode()
    headers = {"content-type": "application/x-amz-json-1.0", "host": host, "x-amz-target": "X.Y"}
    ours = aws.signed(headers, body, service, "eu-central-1")

    request = AWSRequest("POST", f"https://{host}/", headers=headers, data=body)
    credentials = Credentials(
        "AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", token or None
    )
    auth = SigV4Auth(credentials, service, "eu-central-1")
    moment = datetime.strptime(ours["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
    auth.add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]
    assert ours.get("x-amz-security-token") == request.headers.get("X-Amz-Security-Token")


@pytest.mark.parametrize("method", ["POST", "DELETE"])
def test_signature_of_a_twice_encoded_path_equals_botocores(monkeypatch, method):
    """``@connections``: an id ends with ``=``."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    monkeypatch.setenv("AWS_SESSION_TOKEN", "a-session-token")
    host = "id.execute-api.eu-central-1.amazonaws.com"
    body = '{"v":1,"data":"значение"}'.encode() if method == "POST" else b""
    ours = aws.signed(
        {"host": host},
        body,
        "execute-api",
        "eu-central-1",
        method=method,
        path="/ws/%2540connections/L0SM9cOFvHcCIhw%253D",
    )
    request = AWSRequest(
        method,
        f"https://{host}/ws/%40connections/L0SM9cOFvHcCIhw%3D",
        headers={"host": host},
        data=body,
    )
    moment = datetime.strptime(ours["x-amz-date"], "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    monkeypatch.setattr("botocore.auth.get_current_datetime", lambda **_: moment)
    credentials = Credentials("AKIDEXAMPLE", SECRET, "a-session-token")
    SigV4Auth(credentials, "execute-api", "eu-central-1").add_auth(request)
    assert ours["authorization"] == request.headers["Authorization"]


def test_signature_depends_on_secret_and_region(monkeypatch):
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "AKIDEXAMPLE")
    monkeypatch.delenv("AWS_SESSION_TOKEN", raising=False)
    signatures = set()
    for secret in ("first", "second"):
        monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret)
        for region in ("eu-central-1", "us-east-1"):
            signed = aws.signed({"host": "h"}, b"", "sqs", region)
            signatures.add(signed["authorization"].partition("Signature=")[2])
    assert len(signatures) == 4
