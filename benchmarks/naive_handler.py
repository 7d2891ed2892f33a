"""A plausible first version of the search, as the baseline for functions/search.

All imports and clients are made when the module loads, in the usual way: powertools' resolver with
validation, logger and metrics, boto3 resource and clients, an httpx client, pydantic models. (No
tracer: its SDK is not among our packages, and would only make this slower.) A request does the same
as in functions/search: it reserves a slot of the pacer in DynamoDB, checks the codes with hh.ru's
dictionaries in Postgres, reads and decrypts the application token, calls hh.ru once, and stores
every vacancy.
"""

from __future__ import annotations

import base64
import hmac
import json
import os
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import boto3
import httpx
import psycopg
from aws_lambda_powertools import Logger, Metrics
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver
from aws_lambda_powertools.event_handler.exceptions import BadRequestError, UnauthorizedError
from aws_lambda_powertools.metrics import MetricUnit
from aws_lambda_powertools.utilities.parameters import SecretsProvider
from botocore.exceptions import ClientError
from psycopg.rows import dict_row
from psycopg.types.json import Jsonb
from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.typing import LambdaContext

logger = Logger()
metrics = Metrics()
app = APIGatewayHttpResolver(enable_validation=True)

dynamodb = boto3.resource("dynamodb")
pacer = dynamodb.Table(os.environ["PACER_TABLE"])
kms = boto3.client("kms")
secrets = SecretsProvider()
hh = httpx.Client(
    base_url=os.environ["HH_API_URL"],
    headers={"User-Agent": os.environ["HH_USER_AGENT"]},
    timeout=5,
)
database: psycopg.Connection[dict[str, Any]] | None = None

CODES = {"experience": "experience", "employment": "employment", "schedule": "schedule"}
PACE_MS = 1000 / float(os.environ["HH_CALLS_PER_SECOND"])


class SearchRequest(BaseModel):
    """The parameters of a search."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field("", max_length=2000)
    area: str | None = None
    experience: str | None = None
    employment: str | None = None
    schedule: str | None = None
    salary: int | None = None
    page: int = Field(0, ge=0, lt=2000)
    per_page: int = Field(100, ge=1, le=100)


class Named(BaseModel):
    """An entry of one of hh.ru's dictionaries."""

    id: str | None = None
    name: str | None = None


class Salary(BaseModel):
    """The offered salary."""

    model_config = ConfigDict(populate_by_name=True)

    lower: int | None = Field(None, alias="from")
    upper: int | None = Field(None, alias="to")
    currency: str | None = None
    gross: bool | None = None


class Snippet(BaseModel):
    """Excerpts of a vacancy."""

    requirement: str | None = None
    responsibility: str | None = None


class Vacancy(BaseModel):
    """A vacancy as an item of hh.ru's search."""

    id: str
    name: str
    area: Named
    employer: Named
    salary: Salary | None = None
    snippet: Snippet
    experience: Named | None = None
    employment: Named | None = None
    schedule: Named | None = None
    work_format: list[Named] | None = None
    professional_roles: list[Named] | None = None
    published_at: datetime
    archived: bool = False
    has_test: bool = False
    response_letter_required: bool = False
    alternate_url: str | None = None
    apply_alternate_url: str | None = None


class Page(BaseModel):
    """One page of hh.ru's search."""

    items: list[Vacancy]
    found: int
    page: int
    pages: int


class Job(BaseModel):
    """A vacancy in Core's response."""

    id: str
    title: str
    company: str | None
    salary: str | None
    area: str | None
    url: str | None
    description: str
    has_test: bool
    employer_id: str | None
    published_at: datetime
    archived: bool
    experience: str | None
    employment: str | None
    schedule: str | None
    work_format: list[str | None]
    professional_roles: list[str | None]
    apply_url: str | None


class SearchAnswer(BaseModel):
    """The response to a search."""

    jobs: list[Job]
    found: int
    page: int
    pages: int


def connection() -> psycopg.Connection[dict[str, Any]]:
    """Return the connection of this environment."""
    global database
    if database is None or database.closed:
        database = psycopg.connect(
            secret("DATABASE_URL"),
            autocommit=True,
            prepare_threshold=None,
            row_factory=dict_row,
        )
    return database


def secret(name: str) -> str:
    """Return the value of a variable, or of the secret that it names."""
    value = os.environ[name]
    if value.startswith("secretsmanager:"):
        arn, _, key = value.removeprefix("secretsmanager:").partition("#")
        content = str(secrets.get(arn, max_age=300))
        return str(json.loads(content)[key]) if key else content
    return value


def authenticate() -> None:
    """Raise unless the caller knows the service's secret."""
    sent = app.current_event.headers.get("x-core-secret", "")
    if not hmac.compare_digest(sent.encode(), secret("ORCHESTRATOR_SECRET").encode()):
        raise UnauthorizedError("the header X-Core-Secret is missing or wrong")


def check_codes(request: SearchRequest) -> None:
    """Raise unless hh.ru's dictionaries have every code."""
    for field, inside in CODES.items():
        code = getattr(request, field)
        query = "SELECT entries -> %s ? %s AS known FROM hh_dictionaries WHERE name = %s"
        if code is not None:
            row = connection().execute(query, (inside, code, "/dictionaries")).fetchone()
            if row is None or not row["known"]:
                raise BadRequestError(f"{field}: unknown code")
    if request.area is not None:
        query = "SELECT entries -> 'ids' ? %s AS known FROM hh_dictionaries WHERE name = '/areas'"
        row = connection().execute(query, (request.area,)).fetchone()
        if row is None or not row["known"]:
            raise BadRequestError("area: unknown id")


def wait_for_slot() -> None:
    """Wait until the next call to hh.ru may start."""
    now = time.time_ns() // 1_000_000
    try:
        pacer.update_item(
            Key={"pk": "pacer#default"},
            UpdateExpression="SET tat = :next, expires_at = :expires",
            ConditionExpression="attribute_not_exists(tat) OR tat <= :now",
            ExpressionAttributeValues={
                ":now": now,
                ":next": round(now + PACE_MS),
                ":expires": now // 1000 + 86_400,
            },
        )
    except ClientError:
        time.sleep(PACE_MS / 1000)


def access_token() -> str:
    """Return the application token that functions/search has obtained and stored."""
    client_id = secret("HH_CLIENT_ID")
    query = "SELECT access_token FROM hh_app_tokens WHERE client_id = %s"
    row = connection().execute(query, (client_id,)).fetchone()
    assert row is not None
    answer = kms.decrypt(
        KeyId=os.environ["TOKEN_KEY_ID"],
        CiphertextBlob=base64.b64decode(row["access_token"]),
        EncryptionContext={"client_id": client_id},
    )
    return answer["Plaintext"].decode()


def to_job(vacancy: Vacancy) -> Job:
    """Return a vacancy in the shape of the BFF."""
    salary = vacancy.salary
    snippet = vacancy.snippet
    return Job(
        id=vacancy.id,
        title=vacancy.name,
        company=vacancy.employer.name,
        salary=f"{salary.lower}-{salary.upper} {salary.currency}" if salary else None,
        area=vacancy.area.name,
        url=vacancy.alternate_url,
        description="\n".join(filter(None, [snippet.requirement, snippet.responsibility])),
        has_test=vacancy.has_test,
        employer_id=vacancy.employer.id,
        published_at=vacancy.published_at,
        archived=vacancy.archived,
        experience=vacancy.experience.name if vacancy.experience else None,
        employment=vacancy.employment.name if vacancy.employment else None,
        schedule=vacancy.schedule.name if vacancy.schedule else None,
        work_format=[entry.name for entry in vacancy.work_format or []],
        professional_roles=[entry.name for entry in vacancy.professional_roles or []],
        apply_url=vacancy.apply_alternate_url,
    )


def store(jobs: list[Job], items: list[Vacancy], text: str) -> None:
    """Store the vacancies found."""
    now = datetime.now(UTC)
    rows = [
        {
            **job.model_dump(include={"id", "title", "company", "salary", "area", "url"}),
            "description": job.description,
            "text": text[:255],
            "now": now,
            "has_test": job.has_test,
            "employer_id": job.employer_id,
            "published_at": job.published_at,
            "archived": job.archived,
            "vacancy": Jsonb(vacancy.model_dump(mode="json")),
        }
        for job, vacancy in zip(jobs, items, strict=True)
    ]
    with connection().cursor() as cursor:
        cursor.executemany(
            """
            INSERT INTO jobs (
                external_id, hh_vacancy_id, title, company, salary, area, url, description, source,
                search_query, fetched_at, has_test, employer_id, published_at, archived, vacancy,
                inserted_at, updated_at
            ) VALUES (
                %(id)s, %(id)s, %(title)s, %(company)s, %(salary)s, %(area)s, %(url)s,
                %(description)s, 'hh.ru', %(text)s, %(now)s, %(has_test)s, %(employer_id)s,
                %(published_at)s, %(archived)s, %(vacancy)s, %(now)s, %(now)s
            )
            ON CONFLICT (external_id) DO UPDATE SET
                title = excluded.title, company = excluded.company, salary = excluded.salary,
                area = excluded.area, url = excluded.url, description = excluded.description,
                fetched_at = excluded.fetched_at, vacancy = excluded.vacancy,
                updated_at = excluded.updated_at
            WHERE jobs.vacancy IS DISTINCT FROM excluded.vacancy
            """,
            rows,
        )


@app.post("/api/jobs/search")
def search_jobs(body: SearchRequest) -> SearchAnswer:
    """Search hh.ru and store the vacancies found."""
    authenticate()
    check_codes(body)
    wait_for_slot()
    query = {"no_magic": "true", **body.model_dump(exclude_none=True)}
    answer = hh.get(
        "/vacancies", params=query, headers={"Authorization": f"Bearer {access_token()}"}
    )
    answer.raise_for_status()
    page = Page.model_validate_json(answer.content)
    jobs = [to_job(vacancy) for vacancy in page.items]
    store(jobs, page.items, body.text)
    metrics.add_metric(name="Searches", unit=MetricUnit.Count, value=1)
    logger.info("searched", found=page.found)
    return SearchAnswer(jobs=jobs, found=page.found, page=page.page, pages=page.pages)


@logger.inject_lambda_context
@metrics.log_metrics
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    """Handle an event: the entry point for Lambda."""
    return app.resolve(event, context)
