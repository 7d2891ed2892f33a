"""Campaigns: many vacancies under one workflow id, over the same ledger.

A campaign's items are the rows of ``application_queue`` with its workflow id. The BFF writes them
itself, or they are added here. While the campaign runs, each item that is ``pending`` is taken up:
it becomes an application by the way that a single one goes, and from then on shows where that
stands. The sweeper takes up what was added later.

    created     known, nothing goes out
    running     its items go out as the limits let them, behind what was submitted by itself
    paused      nothing goes out that is not out yet; each application stays what it is
    cancelled   what was not out is cancelled

An item fails alone. ``status`` has only words that the BFF and its page know: ``pending``,
``customizing`` (the BFF's), ``ready``, ``submitting``, ``rate_limited``, ``submitted``, and
``failed`` with the reason in ``last_error``, with the link too where a person can do something.
``core_state`` beside it is the state of the ledger. Deleting the row cancels what is not out.
"""
