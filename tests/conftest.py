"""What all suites share: the fixtures, one module a subject."""

pytest_plugins = [
    "tests.fixtures.database",
    "tests.fixtures.documented",
    "tests.fixtures.aws",
    "tests.fixtures.bff",
    "tests.fixtures.hh_sandbox",
    "tests.fixtures.connected",
    "tests.fixtures.local_cloud",
    "tests.fixtures.realtime",
    "tests.fixtures.progress",
    "tests.fixtures.core",
    "tests.fixtures.search_function",
    "tests.harness.applying",
]
