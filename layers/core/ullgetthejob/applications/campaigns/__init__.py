"""Campaigns: many vacancies under one workflow id, over the same ledger.

A campaign's items are the rows of ``application_queue`` with its workflow id. The BFF writes them
itself, or they are added here. While the campaign runs, an application is created from each item
that is ``pending``, as from a single request; from then on the item shows the application's state.
The sweeper does the same for items that are added later.

    created     nothing is sent
    running     its applications are sent as the limits allow, after single applications
    paused      nothing more is sent; each application keeps its state
    cancelled   what was not sent is cancelled

An item fails alone. ``status`` has only values that the BFF and its page know: ``pending``,
``customizing`` (the BFF's), ``ready``, ``submitting``, ``rate_limited``, ``submitted``, and
``failed`` with the reason in ``last_error``, with the link too where a person can do something.
``core_state`` is the state of the ledger. Deleting the row cancels the application if it was not
sent.
"""
