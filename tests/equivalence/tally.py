"""What was done, and how well each log knew of it: counted over all machines, shown at the end of the run."""

from collections import Counter

performed: Counter[str] = Counter()  # operations by kind
failed: Counter[str] = Counter()  # those that the database refused
ours: Counter[str] = Counter()  # operations after which the state rebuilt from our events differed
unknown: Counter[str] = Counter()  # values that our events said they can't know
auditlogs: Counter[str] = Counter()  # operations after which the state rebuilt from auditlog's entries differed
told: Counter[str] = Counter()  # our events, by outcome
entries: Counter[str] = Counter()  # auditlog's entries: "kept" and "rolledback"


def lines() -> list[str]:
    """Return the table, by kind of operation."""
    form = "{:36} {:>9} {:>8} {:>10} {:>9} {:>9}".format
    head = form("operation", "performed", "refused", "heliograph", "unknown", "auditlog")
    body = [
        form(kind, count, failed[kind], ours[kind], unknown[kind], auditlogs[kind])
        for kind, count in sorted(performed.items())
    ]
    total = form("all", *(each.total() for each in (performed, failed, ours, unknown, auditlogs)))
    return [
        head,
        *body,
        total,
        "",
        "heliograph, auditlog: operations after which the state rebuilt from its log differed from the database.",
        "unknown: values that Heliograph's events say they can't know without a query.",
        f"Heliograph's events: {', '.join(f'{count} {outcome}' for outcome, count in sorted(told.items()))}.",
        f"auditlog's entries: {entries['written']} written, of which {entries['rolledback']} vanished with a rollback.",
    ]
