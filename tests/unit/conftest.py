"""Unit tests run without a network: opening a socket fails the test."""

import io

import pytest
from pytest_socket import disable_socket, enable_socket

from ullgetthejob.platform import telemetry


@pytest.fixture(autouse=True)
def _no_sockets():
    disable_socket(allow_unix_socket=True)
    yield
    enable_socket()


@pytest.fixture
def log(monkeypatch):
    """What Core logs during the test."""
    stream = io.StringIO()
    monkeypatch.setattr(telemetry.logger.registered_handler, "stream", stream)
    return stream
