"""The shapes of the JSON that ``ugtj`` prints with ``--json``, by command."""

TEXT, NUMBER, YES_NO = str, (int, float), bool
MAYBE_TEXT, MAYBE_NUMBER, MAYBE_OBJECT = (
    (str, type(None)),
    (int, float, type(None)),
    (dict, type(None)),
)
JOB = {"hh_vacancy_id": TEXT, "title": TEXT, "company": MAYBE_TEXT, "salary": MAYBE_TEXT}
RUN = {"state": TEXT, "found": MAYBE_NUMBER, "new": NUMBER, "started_at": TEXT}
SEARCH = {"id": TEXT, "name": TEXT, "paused": YES_NO, "interval_seconds": NUMBER}
APPLICATION = {"application_id": TEXT, "job_id": TEXT, "state": TEXT, "reason": MAYBE_TEXT}
CAMPAIGN = {"workflow_id": TEXT, "status": TEXT, "message": TEXT}
LIMIT = {"tokens": NUMBER, "capacity": NUMBER, "applications_today": NUMBER, "can_apply": YES_NO}
QUEUE = {"name": TEXT, "visible": NUMBER, "in_flight": NUMBER, "dead_letters_of": MAYBE_TEXT}
CHANNEL = {"id": TEXT, "kind": TEXT, "hint": TEXT, "state": TEXT, "reason": MAYBE_TEXT}
RAISE = {"resume_id": TEXT, "schedule": {"mode": TEXT}, "outcome": (str, type(None))}
FINDING = {"check": TEXT, "verdict": TEXT, "message": TEXT, "step": TEXT}
SHAPES = {
    "search": {"found": NUMBER, "page": NUMBER, "pages": NUMBER, "jobs": [JOB]},
    "job": {"job": {**JOB, "description": MAYBE_TEXT}},
    "fit": {"score": NUMBER, "reasons": [{"part": TEXT, "ru": TEXT}], "resume_id": TEXT},
    "import": {"links": [{"link": TEXT, "vacancies": [{"job_id": TEXT}]}], "stored": NUMBER},
    "schedules list": {"items": [{**SEARCH, "last_run": MAYBE_OBJECT}]},
    "schedules add": SEARCH,
    "schedules show": SEARCH,
    "schedules edit": SEARCH,
    "schedules pause": SEARCH,
    "schedules fetch": {"run": RUN},
    "schedules matches": {"items": [dict], "found": NUMBER, "page": NUMBER, "per_page": NUMBER},
    "schedules rm": {"success": YES_NO},
    "apply": {"application_id": TEXT, "state": TEXT, "job_id": TEXT},
    "applications list": {"found": NUMBER, "items": [APPLICATION]},
    "applications show": {"application": {**APPLICATION, "history": [{"at": TEXT, "state": TEXT}]}},
    "applications confirm": {"application": APPLICATION},
    "applications cancel": {"application": APPLICATION},
    "applications retry": {"application": APPLICATION},
    "applications messages": {"items": [{"author": TEXT, "text": TEXT, "state": TEXT}]},
    "applications reply": {"message": {"state": TEXT}, "findings": [dict], "is_checked": YES_NO},
    "campaigns add": {**CAMPAIGN, "queued_count": NUMBER},
    "campaigns show": {"total": NUMBER, "submitted": NUMBER, "items": [{"job_external_id": TEXT}]},
    "campaigns start": CAMPAIGN,
    "campaigns pause": CAMPAIGN,
    "campaigns resume": CAMPAIGN,
    "campaigns cancel": CAMPAIGN,
    "filters show": {"rules": {}},
    "filters set": {"rules": {}},
    "filters preview": {"checked": NUMBER, "jobs": [{"job_id": TEXT, "verdict": TEXT}]},
    "letters list": {"items": [{"id": TEXT, "name": TEXT}], "placeholders": {}},
    "letters add": {"id": TEXT, "text": TEXT},
    "letters edit": {"id": TEXT, "text": TEXT},
    "letters rm": {"success": YES_NO},
    "letters preview": {"letter": TEXT, "findings": [{"rule": TEXT}]},
    "letters check": {"findings": [{"rule": TEXT, "text": TEXT}]},
    "notifications show": {
        "settings": {"time_zone": TEXT},
        "channels": [CHANNEL],
        "recent": [{"kind": TEXT, "state": TEXT}],
    },
    "notifications channels": {"items": [CHANNEL]},
    "notifications test": {"notification_id": TEXT},
    "reviews list": {"items": [{"application_id": TEXT, "letter_hash": TEXT, "findings": [dict]}]},
    "reviews approve": {"items": [{"application_id": TEXT, "state": TEXT}]},
    "reviews edit": {"application_id": TEXT, "letter_hash": TEXT, "findings": [dict]},
    "reviews reject": {"items": [{"application_id": TEXT, "state": TEXT}]},
    "resumes show": RAISE,
    "resumes raise": RAISE,
    "resumes schedule": RAISE,
    "stats": {"all": {"stages": [{"stage": TEXT, "count": MAYBE_NUMBER}]}, "groups": [dict]},
    "rate-limit status": LIMIT,
    "rate-limit check": {"allowed": YES_NO},
    "rate-limit reset": {"tokens": NUMBER},
    "people connect": {"user_id": TEXT, "person": TEXT},
    "people list": {"people": [{"user_id": TEXT, "access": TEXT, "applications": NUMBER}]},
    "people show": {"account": {"user_id": TEXT, "connected": YES_NO}},
    "people pause": {"paused_at": TEXT, "campaigns": NUMBER},
    "people resume": {"user_id": TEXT, "autopilot_paused_at": MAYBE_TEXT},
    "people handoff-link": {"url": TEXT, "expires_at": TEXT},
    "people export": {"user_id": TEXT, "file": TEXT, "lines": {"users": NUMBER}},
    "people delete": {"user_id": TEXT, "status": TEXT},
    "queues list": {"queues": [QUEUE]},
    "queues show": {"queue": TEXT, "messages": [{"id": TEXT, "body": TEXT, "receives": NUMBER}]},
    "queues redrive": {"queue": TEXT, "sent_again": NUMBER},
    "db status": {"revision": MAYBE_TEXT, "newest": TEXT, "pending": YES_NO},
    "db migrate": {"report": TEXT},
    "db rollback": {"report": TEXT},
    "db seed": {"new_rows": NUMBER},
    "sandbox state": {"clock": {"now": TEXT}, "era": TEXT, "mode": TEXT},
    "sandbox clock": {"now": TEXT, "rate": NUMBER},
    "sandbox fault": {},
    "sandbox employer": {},
    "sandbox mode": {"mode": TEXT},
    "sandbox era": {"era": TEXT},
    "trail": {"id": TEXT, "lines": [{"source": TEXT, "message": TEXT, "trace_id": TEXT}]},
    "open": {"url": TEXT},
    "secret": {"ORCHESTRATOR_SECRET": TEXT, "ADMIN_SECRET": TEXT, "SECRET_KEY_BASE": TEXT},
    "doctor": {"problems": NUMBER, "findings": [FINDING]},
}


def holds(shape, content, where="answer"):
    """Check JSON against a shape: types, dicts of shapes, lists of one shape; ``None`` is allowed
    where a tuple has it."""
    if isinstance(shape, dict):
        assert isinstance(content, dict), where
        for name, inner in shape.items():
            assert name in content, f"{where}.{name} is missing"
            holds(inner, content[name], f"{where}.{name}")
    elif isinstance(shape, list):
        assert isinstance(content, list), where
        for number, item in enumerate(content):
            holds(shape[0], item, f"{where}[{number}]")
    else:
        assert isinstance(content, shape), f"{where} is {content!r}"
