"""README's examples run as printed (on another port and data folder)."""

import re
import subprocess

import httpx
import pytest

from migrations.seed import DEMO_USER_ID
from tests.fixtures.local_cloud import ROOT

README = (ROOT / "README.md").read_text()
SECTION = README.split("\n## Endpoints\n")[1].split("\n## ")[0]
EXAMPLES = re.findall(r"```bash\n(.*?)```", SECTION, re.DOTALL)


@pytest.fixture(scope="module")
def demo_user(cloud):
    """Connect the demo user as ``make run`` does, which the clouds of tests omit."""
    with cloud.client() as core:
        session = {"session_id": DEMO_USER_ID}
        url = core.get("/auth/hh/redirect", params=session).json()["url"]
        consent = httpx.post(url, data={"person": "anna", "decision": "allow"})
        back = dict(httpx.URL(consent.headers["location"]).params)
        core.get("/auth/hh/callback", params=back | session).raise_for_status()


@pytest.fixture
def here(cloud, demo_user):
    """Return an example with the addresses of the cloud under test."""
    secret = EXAMPLES[0]

    def adapt(example):
        script = f"set -euo pipefail\n{secret}\n{example}"
        return script.replace("http://localhost:4000", cloud.url).replace(
            '".data/', f'"{cloud.data_dir}/'
        )

    return adapt


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda e: e.split("\n")[0][:60])
def test_readme_example_runs(here, example):
    ran = subprocess.run(
        ["bash", "-c", here(example)], capture_output=True, text=True, timeout=60, check=False
    )
    assert ran.returncode == 0, ran.stdout + ran.stderr


def test_readme_make_commands_exist():
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    named = set(re.findall(r"^\s*make ([a-z-]+)", README, re.MULTILINE))
    named |= set(re.findall(r"`make ([a-z-]+)", README))
    assert named <= targets, named - targets


def test_readme_links_resolve():
    for link in re.findall(r"\]\(([^)]+)\)", README):
        assert (ROOT / link).exists(), link
