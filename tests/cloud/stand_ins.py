"""The smallest stand-ins for what moto lacks of AWS, to deploy, roll back and destroy a stack.

Real here: ``ugtj cloud`` in all its commands, SAM's transform of the template, moto's server for
CloudFormation, S3, Secrets Manager, DynamoDB, SQS, KMS and STS, Postgres, the migrations, the code
of every function in a process as Lambda runs it, hh.ru's sandbox. Stood in for:

- **"make build"** (:func:`build`): the sources are copied; tests/contract/test_layers.py builds.
- **"sam deploy"** (:func:`deploy`): the code goes to S3, and the stack to moto, which gets the
  resources that hold data. Moto has no aliases, CodeDeploy, nested stacks or gateways in its
  CloudFormation; SAM's transform of the whole template is run, and is tested by
  tests/contract/test_releases.py.
- **CloudFormation's order, Lambda and API Gateway** (:class:`Cloud`): whatever becomes of the
  stack, by an update or by a rollback, first the migrator of its code is sent a request of the
  custom resource and must answer it, then the address serves its functions.
"""

from __future__ import annotations

import asyncio
import contextlib
import copy
import io
import itertools
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
import time
import zipfile
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import boto3
import yaml
from samcli.lib.translate.sam_template_validator import (  # type: ignore[import-untyped]
    SamTemplateValidator,
)

from local.child import Lifeline
from local.functions.logs import Logs
from local.functions.service import LambdaService
from local.gateway.http import Gateway
from local.template.cloudformation import REGION, read
from local.template.reader import load

if TYPE_CHECKING:
    from collections.abc import Iterator

BUCKET = "sam-artifacts"
SAM_STACK = "aws-sam-cli-managed-default"
HOLDING_DATA = ("AWS::DynamoDB::Table", "AWS::SQS::Queue", "AWS::KMS::Key", "AWS::Logs::LogGroup")
SOURCES = ("functions", "layers", "migrations", "template.yaml")
DEADLINE_S = 60
GRACE_S = 1  # for calls that run when the address moves to other code


def client(service: str) -> Any:
    """Return boto3's client of the account."""
    make: Any = boto3.client
    return make(service)


def find_changes(
    stack: Any, template: dict[str, Any], parameters: dict[str, Any] | None = None
) -> dict[str, list[str]]:
    """Stand in for moto's comparison of two templates: moto completes its own copy while it makes
    resources, and so takes each for changed, and forgets those that it cannot change. Here
    releases differ in what they add and remove. *parameters*: not compared."""
    old, new = stack._resource_json_map, template["Resources"]
    return {
        "Add": [name for name in new if name not in old],
        "Modify": [],
        "Remove": [name for name in old if name not in new],
    }


# ── make build, sam deploy ───────────────────────────────────────────────────────────────────────


def build(checkout: Path, folder: Path) -> None:
    """Copy what "make build" reads."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in SOURCES:
        source = checkout / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy(source, folder / name)


def deploy(command: list[str], cloud: Cloud) -> None:
    """Do what "sam deploy" does with the options of *command*, and wait until it is served."""
    option = dict(itertools.pairwise(command))
    values = yaml.safe_load(
        Path(option["--parameter-overrides"].removeprefix("file://")).read_text()
    )
    folder = Path(option["--template-file"]).parent
    template = read(folder / "template.yaml")
    transform(template, values)
    _create_bucket()
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for file in sorted(path for path in folder.rglob("*") if path.is_file()):
            archive.write(file, file.relative_to(folder))
    name = option["--stack-name"]
    key = f"{name}/{values['Build']}.zip"
    client("s3").put_object(Bucket=BUCKET, Key=key, Body=packed.getvalue())
    stacks = client("cloudformation")
    exists = any(stack["StackName"] == name for stack in stacks.describe_stacks()["Stacks"])
    tags = dict(pair.split("=", 1) for pair in option["--tags"].split())
    (stacks.update_stack if exists else stacks.create_stack)(
        StackName=name,
        TemplateBody=json.dumps(reduce_template(template, cloud.port)),
        Parameters=[{"ParameterKey": k, "ParameterValue": str(v)} for k, v in values.items()],
        Tags=[{"Key": k, "Value": v} for k, v in tags.items()],
    )
    cloud.wait_for(values["Build"])


def transform(template: dict[str, Any], values: dict[str, str]) -> None:
    """Run SAM's own transform; it raises for a template that it does not take."""
    packaged = copy.deepcopy(template)
    for name, value in values.items():
        packaged["Parameters"][name]["Default"] = value
    for name, resource in packaged["Resources"].items():
        for key in ("ContentUri", "CodeUri"):
            if key in resource.get("Properties", {}):
                resource["Properties"][key] = f"s3://{BUCKET}/{name}"
    SamTemplateValidator(packaged, None, region=REGION).get_translated_template_if_valid()


def reduce_template(template: dict[str, Any], port: int) -> dict[str, Any]:
    """Return what moto keeps of the template, with the address that is served."""
    outputs = {
        "ApiUrl": f"http://127.0.0.1:{port}",
        "WebSocketUrl": f"ws://127.0.0.1:{port}/ws",
    }
    kept = {
        name: copy.deepcopy(resource)
        for name, resource in template["Resources"].items()
        if resource["Type"] in HOLDING_DATA
    }
    kept["TokenKey"]["Properties"]["KeyPolicy"] = {}  # moto does not know the default
    return {
        "Parameters": {
            name: {key: value for key, value in parameter.items() if key in ("Type", "Default")}
            for name, parameter in template["Parameters"].items()
        },
        "Resources": kept,
        "Outputs": {name: {"Value": value} for name, value in outputs.items()},
    }


def _create_bucket() -> None:
    stacks = client("cloudformation")
    if any(stack["StackName"] == SAM_STACK for stack in stacks.describe_stacks()["Stacks"]):
        return
    made = {"Type": "AWS::S3::Bucket", "Properties": {"BucketName": BUCKET}}
    body = {
        "Resources": {"Bucket": made},
        "Outputs": {"SourceBucket": {"Value": {"Ref": "Bucket"}}},
    }
    stacks.create_stack(StackName=SAM_STACK, TemplateBody=json.dumps(body))


# ── CloudFormation's order, Lambda, API Gateway ──────────────────────────────────────────────────


class Answers(HTTPServer):
    """The presigned address to which a custom resource answers."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), AnswersHandler)
        self.taken: list[dict[str, Any]] = []
        threading.Thread(target=self.serve_forever, daemon=True).start()


class AnswersHandler(BaseHTTPRequestHandler):
    """Takes answers."""

    server: Answers

    def do_PUT(self) -> None:
        """Take an answer."""
        self.server.taken.append(json.loads(self.rfile.read(int(self.headers["content-length"]))))
        self.send_response(200)
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        """Log nothing."""


class Cloud:
    """Serves at one address what the stack *stack* of moto is at: see the module."""

    def __init__(self, stack: str, folder: Path, aws_url: str) -> None:
        self._stack, self._folder, self._aws_url = stack, folder, aws_url
        self.served = ""  # the parameter Build of what is served
        self.migrated: list[str] = []  # the revisions that the custom resource answered
        self.failure: Exception | None = None
        self._target: int | None = None  # the port of the functions that are served
        self._running: contextlib.AsyncExitStack | None = None
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Cloud:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join(timeout=30)

    def wait_for(self, build_id: str) -> None:
        """Wait until *build_id* is served."""
        until = time.monotonic() + DEADLINE_S
        while self.served != build_id:
            if self.failure is not None:
                raise self.failure
            assert time.monotonic() < until, "the stack is not served"
            time.sleep(0.05)

    async def _run(self) -> None:
        front = await asyncio.start_server(self._forward, sock=self._listener)
        try:
            while not self._stop.is_set():
                await self._follow()
                await asyncio.sleep(0.1)
        except Exception as error:
            self.failure = error
            raise
        finally:
            front.close()
            if self._running is not None:
                await self._running.aclose()

    async def _follow(self) -> None:
        """Bring the address to what the stack is at, if it has changed."""
        values = await asyncio.to_thread(self._parameters)
        wanted = values.get("Build", "")
        if wanted in ("", self.served):
            return
        folder = await asyncio.to_thread(self._unpack, wanted)
        await asyncio.to_thread(self._migrate, folder, values)
        former = self._running
        self._target, self._running = await self._start(folder, values)
        self.served = wanted
        if former is not None:
            await asyncio.sleep(GRACE_S)
            await former.aclose()

    def _parameters(self) -> dict[str, str]:
        for stack in client("cloudformation").describe_stacks()["Stacks"]:
            is_made = stack["StackStatus"].endswith("_COMPLETE")  # moto shows it while it is made
            if is_made and stack["StackName"] == self._stack:
                listed = stack.get("Parameters", [])
                return {
                    parameter["ParameterKey"]: parameter["ParameterValue"] for parameter in listed
                }
        return {}

    def _unpack(self, build_id: str) -> Path:
        folder = self._folder / build_id[:12]
        if not folder.exists():
            key = f"{self._stack}/{build_id}.zip"
            content = client("s3").get_object(Bucket=BUCKET, Key=key)["Body"].read()
            zipfile.ZipFile(io.BytesIO(content)).extractall(folder)
        return folder

    def _migrate(self, folder: Path, values: dict[str, str]) -> None:
        """Send the migrator of *folder* the request of its custom resource; it must succeed."""
        with Answers() as answers:
            request = {
                "RequestType": "Update" if self.served else "Create",
                "ResponseURL": f"http://127.0.0.1:{answers.server_port}/?signed",
                "StackId": "arn:stack",
                "RequestId": "a-request",
                "LogicalResourceId": "Schema",
            }
            environment = self._environments(folder, values)["MigratorFunction"]
            ran = subprocess.run(
                [sys.executable, "-P", "-c", INVOKE_MIGRATOR, json.dumps(request)],
                env={
                    "PATH": os.environ["PATH"],
                    "AWS_ACCESS_KEY_ID": "test",
                    "AWS_SECRET_ACCESS_KEY": "test",
                    "AWS_REGION": REGION,
                    **environment,
                    "PYTHONPATH": os.pathsep.join((str(folder), str(folder / "layers" / "core"))),
                },
                capture_output=True,
                text=True,
                check=False,
            )
            answers.shutdown()
        assert answers.taken, ran.stdout + ran.stderr
        (answer,) = answers.taken
        assert answer["Status"] == "SUCCESS", answer
        self.migrated.append(answer["Data"]["Revision"])

    def _environments(self, folder: Path, values: dict[str, str]) -> dict[str, dict[str, str]]:
        """Return the variables of the functions, with the stack's physical names."""
        listed = client("cloudformation").list_stack_resources(StackName=self._stack)
        physical = {
            resource["LogicalResourceId"]: resource["PhysicalResourceId"]
            for resource in listed["StackResourceSummaries"]
        }
        document = read(folder / "template.yaml")
        known = {name: value for name, value in values.items() if name in document["Parameters"]}
        found = {}
        for name, function in load(folder / "template.yaml", known).functions.items():
            own = document["Resources"][name]["Properties"].get("Environment", {})
            variables = dict(function.environment)
            for variable, node in own.get("Variables", {}).items():
                if not isinstance(node, dict):
                    continue
                named = node.get("Ref") or (node.get("Fn::GetAtt") or [""])[0]
                if named in physical:
                    variables[variable] = physical[named]
            variables["AWS_ENDPOINT_URL"] = self._aws_url
            found[name] = {name: value for name, value in variables.items() if value}
        return found

    async def _start(
        self, folder: Path, values: dict[str, str]
    ) -> tuple[int, contextlib.AsyncExitStack]:
        """Serve the functions of *folder*; return their port and what ends them."""
        template = load(folder / "template.yaml")
        listener = socket.create_server(("127.0.0.1", 0))
        port = int(listener.getsockname()[1])
        environments = await asyncio.to_thread(self._environments, folder, values)
        assert template.websocket is not None
        addresses = template.websocket.addresses(port)
        for variables in environments.values():
            variables |= {name: addresses[name] for name in addresses if name in variables}
        logs, lifeline = Logs(folder / "logs", echo="none"), Lifeline()
        service = LambdaService(
            template, environments, data_dir=folder / "data", logs=logs, lifeline=lifeline
        )
        gateway = Gateway(template, service, logs)
        await gateway.start([listener])
        running = contextlib.AsyncExitStack()
        running.callback(lifeline.close)
        running.push_async_callback(service.close)
        running.push_async_callback(gateway.stop)
        return port, running

    async def _forward(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if self._target is None:
            writer.close()
            return
        theirs, ours = await asyncio.open_connection("127.0.0.1", self._target)
        await asyncio.gather(_copy(reader, ours), _copy(theirs, writer))


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        writer.close()


INVOKE_MIGRATOR = """
import json, sys
from types import SimpleNamespace
from functions.migrator.app import handler
handler(json.loads(sys.argv[1]), SimpleNamespace(aws_request_id="a-request"))
"""


@contextlib.contextmanager
def answering(url: str, secret: str) -> Iterator[list[tuple[str, int]]]:
    """Call two routes several times a second, one of which asks the database for a person; yield
    what they answered."""
    import httpx

    person = "/api/applications?user_id=00000000-0000-4000-8000-00000000dead"
    answers: list[tuple[str, int]] = []
    stop = threading.Event()

    def call() -> None:
        while not stop.wait(0.4):
            for path in ("/api/v1/system/health", person):
                try:
                    answer = httpx.get(url + path, headers={"x-core-secret": secret}, timeout=30)
                    answers.append((path.partition("?")[0], answer.status_code))
                except httpx.HTTPError as error:
                    answers.append((f"{path}: {type(error).__name__}", 0))

    thread = threading.Thread(target=call)
    thread.start()
    try:
        yield answers
    finally:
        stop.set()
        thread.join()
