"""Signature Version 4, held against botocore's own."""

from datetime import UTC, datetime

import pytest
from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from ullgetthejob.platform import aws


@pytest.mark.parametrize("token", ["", "a-session-token/with+signs=="])
@pytest.mark.parametrize("service", sorted(aws.PROTOCOLS))
def test_the_signature_is_botocore_s(monkeypatch, service, token):
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
