"""Local services distinguish programs and local pages from foreign pages."""

import pytest

from local import browsers

NAVIGATION = {"Sec-Fetch-Mode": "navigate"}


@pytest.mark.parametrize(
    "host",
    [
        *("localhost", "localhost:4000", "LOCALHOST:4000", "127.0.0.1:20001", "[::1]:4000"),
        *("172.17.0.1:20001", "host.docker.internal:20001", "host.containers.internal"),
        "aws.localhost",
    ],
)  # fmt: skip
def test_local_program_or_container_is_served(host):
    assert browsers.refusal("POST", {"Host": host}) is None


@pytest.mark.parametrize(
    "host",
    [
        *("", "evil.example", "evil.example:4000", "localhost.evil.example", "127.0.0.1.nip.io"),
        *("[", "::"),
    ],
)  # fmt: skip
def test_rebound_host_name_is_refused(host):
    assert browsers.refusal("GET", {"Host": host}) is not None
    same_origin = {"Host": host, "Sec-Fetch-Site": "same-origin", "Origin": f"http://{host}"}
    assert browsers.refusal("POST", same_origin) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": ""},
        {"Origin": "http://localhost.evil.example"},
        {"Origin": "http://192.168.0.7:8000"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "cross-site", "Sec-Fetch-Mode": "no-cors"},
        {"Origin": "https://evil.example", "Sec-Fetch-Site": "cross-site", **NAVIGATION},
    ],
)  # fmt: skip
@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "DELETE", "OPTIONS"])
def test_request_of_a_foreign_page_is_refused(method, headers):
    assert browsers.refusal(method, {"Host": "localhost:4000", **headers}) is not None


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "http://localhost:4000", "Sec-Fetch-Site": "same-origin"},
        {"Origin": "null", "Sec-Fetch-Site": "same-origin"},  # under a Referrer-Policy
        {"Origin": "http://localhost:3000", "Sec-Fetch-Site": "same-site"},
        {"Origin": "http://127.0.0.1:3000", "Sec-Fetch-Site": "cross-site", **NAVIGATION},
        {"Origin": "http://localhost:4000"},
    ],
)  # fmt: skip
def test_local_pages_are_served(headers):
    site = headers.get("Sec-Fetch-Site")
    method = "GET" if site == "cross-site" else "POST"
    assert browsers.refusal(method, {"Host": "localhost:4000", **headers}) is None


def test_followed_link_is_served_but_no_foreign_form():
    from_elsewhere = {
        "Host": "localhost:4000",
        "Sec-Fetch-Site": "cross-site",
        "Sec-Fetch-Mode": "navigate",
    }
    assert browsers.refusal("GET", from_elsewhere) is None  # so hh.ru sends people back
    assert browsers.refusal("POST", from_elsewhere) is not None


def test_configured_host_name_is_served(monkeypatch):
    headers = {"Host": "my-laptop:20001"}
    assert browsers.refusal("POST", headers) is not None
    monkeypatch.setenv(browsers.MORE_NAMES, "my-laptop")
    assert browsers.refusal("POST", headers) is None
