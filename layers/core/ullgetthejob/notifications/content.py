"""The content of a planned notification, as it is stored: facts, or the counts of a digest.

``{"facts": [[key, data], …], "count": n}``, in the order of the events: of more than
:data:`~.facts.MAX_FACTS` facts the first are kept, and the others counted. A digest has
``{"counts": {kind: n}}``.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ullgetthejob.notifications import facts, schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from datetime import datetime

    from ullgetthejob.notifications.messages import Kind
    from ullgetthejob.notifications.preferences import ChannelKind, Preferences

Content = dict[str, Any]


@dataclass
class Planned:
    """What is to be told to one channel at one time: facts of one kind of the events from
    *first_seq* to *last_seq*."""

    kind: Kind
    due_at: datetime
    first_seq: int
    last_seq: int
    content: Content = field(default_factory=dict)

    def add(self, seq: int, content: Content) -> None:
        """Add the content of another event."""
        self.content = merge(self.content, content)
        self.last_seq = max(self.last_seq, seq)


def merge(earlier: Content, later: Content) -> Content:
    """Return the content of two in one: a later fact replaces an earlier one with its key."""
    if "counts" in earlier or "counts" in later:
        counts: Counter[str] = Counter(earlier.get("counts", {}))
        counts.update(later.get("counts", {}))
        return {"counts": dict(counts)}
    kept = dict(earlier.get("facts", []))
    count = earlier.get("count", 0)
    for key, data in later.get("facts", []):
        is_new = key not in kept
        count += is_new
        if not is_new or len(kept) < facts.MAX_FACTS:
            kept[key] = data
    more = later.get("count", 0) - len(later.get("facts", []))
    return {"facts": [[key, data] for key, data in kept.items()], "count": count + more}


def plan(
    events: Iterable[dict[str, Any]],
    channel: ChannelKind,
    preferences: Preferences,
    *,
    now: datetime,
) -> list[Planned]:
    """Return what *events* of an account, in their order, make to tell in a channel: one for each
    kind."""
    planned: dict[Kind, Planned] = {}
    for event in events:
        for kind, content in _contents_of(event, channel, preferences):
            if kind not in planned:
                due = schedule.due_at(kind, channel, preferences, now=now)
                planned[kind] = Planned(kind, due, event["seq"], event["seq"])
            planned[kind].add(event["seq"], content)
    return list(planned.values())


def _contents_of(
    event: dict[str, Any], channel: ChannelKind, preferences: Preferences
) -> Iterator[tuple[Kind, Content]]:
    for fact in facts.facts_of(event):
        if channel in preferences.route(fact.kind).channels:
            yield fact.kind, {"facts": [[fact.key, fact.data]], "count": 1}
    if preferences.digest.every != "off" and channel in preferences.route("digest").channels:
        counts = facts.counts_of(event)
        if counts:
            yield "digest", {"counts": counts}
