"""What all suites share: the fixtures, one module a subject."""

import signal

from hypothesis import settings

# A suite that a script starts in the background ignores Ctrl-C, and processes that the tests start,
# and interrupt, would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# No test measures time: a busy machine is no fault.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")

pytest_plugins = [
    "tests.fixtures.hh_sandbox",  # first: others import it, and pytest is to rewrite it
    "tests.fixtures.database",
    "tests.fixtures.documented",
    "tests.fixtures.hh_sandbox",
    "tests.fixtures.aws",
    "tests.fixtures.budgets",
    "tests.fixtures.bff",
    "tests.fixtures.connected",
    "tests.fixtures.local_cloud",
    "tests.fixtures.realtime",
    "tests.fixtures.receivers",
    "tests.fixtures.progress",
    "tests.fixtures.core",
    "tests.fixtures.search_function",
    "tests.fixtures.operator",
    "tests.harness.applying",
    "tests.harness.fetching",
    "tests.harness.killing",
    "tests.harness.notifying",
]
