"""What is generated from the code and committed is what the code makes today (make docs)."""

import json

from docs import generate


def test_the_committed_references_are_up_to_date():
    for path, text in generate.documents().items():
        assert path.read_text() == text, f"{path.name} is out of date: run make docs"


def test_every_reference_within_the_openapi_document_leads_somewhere():
    document = json.loads(generate.openapi())
    text = json.dumps(document)
    for name in {part.split('"')[0] for part in text.split("#/components/schemas/")[1:]}:
        assert name in document["components"]["schemas"], name


def test_every_route_of_the_functions_is_documented():
    document = json.loads(generate.openapi())
    documented = {
        f"{method.upper()} {path}"
        for path, methods in document["paths"].items()
        for method in methods
    }
    assert documented == {key for api in generate.apis().values() for key in api.routes}
