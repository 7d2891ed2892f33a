"""``ugtj`` with a local cloud whose demo user is connected, one cloud a module."""

import pytest

from tests.fixtures.local_cloud import new_cloud
from tests.harness.command_line import Ugtj


@pytest.fixture(scope="module")
def demo_cloud():
    with new_cloud(SANDBOX_AUTO_LOGIN="anna", DEMO_PERSON="anna") as cloud:
        cloud.start()
        cloud.wait_until_printed("The demo user is connected")
        yield cloud


@pytest.fixture
def ugtj(demo_cloud, capsys):
    return Ugtj(demo_cloud, capsys)
