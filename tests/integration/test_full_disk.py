"""A full disk under DATA_DIR: one message, no loss of accepted data, and recovery afterwards."""

import contextlib
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import httpx
import pytest

from local import aws, disk
from local.functions.logs import Logs
from local.settings import REPOSITORY
from local.template.cloudformation import REGION
from migrations.seed import DEMO_USER_ID
from tests.fixtures.local_cloud import LocalCloud

TEXT = "large" * 10_000
SIGNED = f"AWS4-HMAC-SHA256 Credential=a/20260101/{REGION}/dynamodb/aws4_request"


@pytest.fixture
def small_disk():
    """Mount a file system with little more space than a local run needs."""
    folder = Path(tempfile.mkdtemp(prefix="ullgetthejob-small-disk-"))
    command = ["mount", "-t", "tmpfs", "-o", "size=160m,mode=755", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        folder.rmdir()
        pytest.skip("mounting a small disk needs root")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)
    shutil.rmtree(folder)


def fill(folder):
    with (folder / "filling").open("wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"0" * 65536)


def submit(core, job):
    letter = "Здравствуйте! Буду рада поговорить."
    body = {"user_id": DEMO_USER_ID, "job_external_id": job, "cover_letter": letter}
    return core.post("/api/applications/submit", json=body)


def test_full_disk_is_reported_once_and_loses_nothing(small_disk):
    cloud = LocalCloud(small_disk / "data", settings={"DEMO_PERSON": "anna", "LOGS": "problems"})
    cloud.start()
    try:
        cloud.wait_until_printed("The demo user is connected", limit_s=180)
        with cloud.client() as core:
            search = {"text": "python", "per_page": 20}
            jobs = core.post("/api/jobs/search", json=search).json()["jobs"]
            accepted = submit(core, jobs[0]["id"])
            assert accepted.status_code == 202
            lines_before = len(cloud.output)

            fill(small_disk)
            cloud.wait_until_printed("is full", limit_s=180)
            # Postgres may have space left inside its files: an accepted application is stored.
            responses = {job["id"]: submit(core, job["id"]) for job in jobs[1:]}
            assert {response.status_code for response in responses.values()} <= {202, 503}
            clock = httpx.post(f"{cloud.status()['hh']}/_sandbox/clock", json={"rate": 2})
            assert (clock.status_code, clock.json()["error"]) == (
                507,
                "the disk under DATA_DIR is full",
            )

            (small_disk / "filling").unlink()
            cloud.wait_until_printed("There is room", limit_s=180)
            for job, before in {jobs[0]["id"]: accepted, **responses}.items():
                again = submit(core, job)
                assert again.status_code == 202
                if before.status_code == 202:
                    assert again.json()["application_id"] == before.json()["application_id"]
        shown = "".join(cloud.output[lines_before:])
        assert shown.count("is full") == 1
        assert "No space left" not in shown
        assert "OSError" not in shown
        assert cloud.stop() == 0
    finally:
        cloud.kill()


def test_start_on_a_full_disk_is_one_message(small_disk):
    fill(small_disk)
    started = subprocess.run(
        [sys.executable, "-m", "local", "run"],
        cwd=REPOSITORY,
        env={**os.environ, "DATA_DIR": str(small_disk / "data"), "PORT": "4873"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert started.returncode == 1
    assert started.stderr == disk.message(small_disk / "data") + "\n"


def test_unwritable_log_stops_nothing(tmp_path, capsys):
    (tmp_path / "search.log").symlink_to("/dev/full")
    Logs(tmp_path, echo="all").write("search", "a line")
    assert capsys.readouterr().out == "[search] a line\n"


def test_unsaved_item_is_saved_with_the_next_one(local_aws_folder):
    start, stored_keys = local_aws_folder
    with start() as (put, items):
        put("first")
        items._database.execute(
            "PRAGMA max_page_count = 1"
        )  # SQLite's error is that of a full disk
        assert put("second") == 500
        items._database.execute("PRAGMA max_page_count = 1000000")
        assert put("third") == 200
    assert stored_keys() == {"first", "second", "third"}


@pytest.fixture
def local_aws_folder(tmp_path):
    """Return two callables: one that starts DynamoDB of :mod:`local.aws` in this process, and one
    that returns the keys on the disk."""
    import json

    from local.template.resources import Table

    items = aws.Items(tmp_path / "items.sqlite")
    name = f"Full{os.getpid()}"
    table = Table(
        name,
        ({"AttributeName": "pk", "KeyType": "HASH"},),
        ({"AttributeName": "pk", "AttributeType": "S"},),
        None,
    )

    @contextlib.contextmanager
    def start():
        aws.create_tables([table], items)
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

        application = aws.DurableDynamoDB(DomainDispatcherApplication(create_backend_app), items)

        def put(value):
            from werkzeug.test import Client

            request = {"TableName": name, "Item": {"pk": {"S": value}, "text": {"S": TEXT}}}
            headers = {
                "X-Amz-Target": "DynamoDB_20120810.PutItem",
                "Content-Type": "application/x-amz-json-1.0",
                "Authorization": SIGNED,
            }
            response = Client(application).post("/", data=json.dumps(request), headers=headers)
            return response.status_code

        yield put, items

    def stored_keys():
        return {item["pk"]["S"] for item in aws.Items(tmp_path / "items.sqlite").of(name)}

    return start, stored_keys
