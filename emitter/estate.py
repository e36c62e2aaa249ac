"""What dead processes have left in a spool: taken over one emitter at a time, oldest first, and counted as theirs."""

from collections.abc import Mapping
from uuid import UUID

from msgspec.structs import replace

from emitter.event import Event, Telemetry
from emitter.segments import Folder
from emitter.spool import Spool
from emitter.tally import of_the_dead


class Estate:
    """The folder of a dead emitter that this process drains, if there is one. Whoever uses it holds the disk's lock."""

    def __init__(self, spool: Spool) -> None:
        self.folder: Folder | None = None
        self._spool = spool
        self._report_at = float("-inf")

    def read(self, count: int, size: int) -> list[Event]:
        """Return the next events; none when no folder has any, or this one has no more."""
        if self.folder is None:
            self.folder = self._spool.orphan()
        if self.folder is None:
            return []
        events = self._spool.read(self.folder, count, size)
        if events is None:
            self.leave(remove=False)
            return []
        if events:
            self._meet(self.folder, events)
        elif corrupt := self._spool.advance(self.folder):
            self.lose({"spool_corrupt": corrupt})
        self._tell(self.folder)
        return events

    def lose(self, lost: Mapping[str, int]) -> None:
        if self.folder is not None and self.folder.telemetry is not None:
            self.folder.telemetry = of_the_dead(
                self.folder.telemetry, spooled=self.folder.pending, lost={k: n for k, n in lost.items() if n}
            )

    def save(self) -> None:
        """Keep up to where its events are done."""
        if self.folder is not None:
            self._spool.save_orphan(self.folder)

    def may_report(self, now: float) -> bool:
        """Whether the service took such a report the last time, or that is a while ago."""
        return now >= self._report_at

    def report_later(self, moment: float) -> None:
        self._report_at = moment

    def leave(self, *, remove: bool) -> None:
        """Be done with the folder, or leave it to whoever comes next."""
        folder, self.folder = self.folder, None
        if folder is not None:
            self._spool.leave(folder, remove=remove)

    def forget(self) -> None:
        """Close a child's copies of what its parent has open."""
        folder, self.folder = self.folder, None
        if folder is not None:
            folder.forget()

    def _tell(self, folder: Folder) -> None:
        if folder.telemetry is not None:
            folder.telemetry = of_the_dead(folder.telemetry, spooled=folder.pending)

    def _meet(self, folder: Folder, events: list[Event]) -> None:
        """Note what the events say of their emitter, which may have died before it counted them."""
        theirs = [event for event in events if str(event.emitterid) == folder.path.name and event.sequence]
        if not theirs:
            return
        captured = max(int(event.sequence or 0) for event in theirs)
        told = folder.telemetry
        if told is None:
            told = _unknown(UUID(folder.path.name), theirs[0])
        folder.telemetry = replace(told, captured=max(told.captured, captured))


def _unknown(emitter_id: UUID, event: Event) -> Telemetry:
    """Return what is known of an emitter whose counters are gone."""
    return Telemetry(
        emitterid=emitter_id,
        source=event.source,
        started=event.time,
        time=event.time,
        versions={},
        host="",
        pid=0,
        delivery="memory",
        captured=0,
        ended=True,
    )
