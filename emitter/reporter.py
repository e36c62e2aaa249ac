"""Tells the service the counters: those of this emitter now and then, and those of the dead once they are drained."""

from emitter.delivery import Transport
from emitter.estate import Estate
from emitter.event import Telemetry
from emitter.exceptions import PermanentError, TemporaryError
from emitter.segments import Folder
from emitter.stock import Stock

TIMEOUT = 3.0  # seconds that events wait for telemetry at the most


class Reporter:
    """Sends telemetry in the thread that sends events, every so many seconds; never, where that is 0."""

    def __init__(self, stock: Stock, transport: Transport) -> None:
        self._stock = stock
        self._transport = transport
        self._interval = stock.terms.telemetry_interval
        self._clock = stock.terms.clock
        self._report_at = self._clock() + self._interval

    @property
    def waits(self) -> float:
        """Seconds until it is due."""
        return self._report_at - self._clock() if self._interval else float("inf")

    def report(self) -> None:
        """Tell the counters, if it is time to and there is news."""
        if self.waits <= 0:
            self._news(self._stock.telemetry(), TIMEOUT)
            self._report_at = self._clock() + self._interval

    def report_end(self, timeout: float) -> None:
        """Tell the counters for the last time, if there is news."""
        if self._interval:
            self._news(self._stock.telemetry(ended=True), timeout)

    def _news(self, telemetry: Telemetry, timeout: float) -> None:
        if self._stock.tally.is_news(telemetry):
            self._tell(telemetry, timeout)

    def bury(self, folder: Folder, estate: Estate) -> None:
        """Tell what a dead emitter had counted, and remove its folder once that was heard."""
        telemetry = folder.telemetry
        heard: bool | None = True
        if telemetry is not None and self._interval:
            heard = self._tell(telemetry, TIMEOUT) if estate.may_report(self._clock()) else None
            if heard is None:
                estate.report_later(self._clock() + self._interval)
        with self._stock.disk:
            estate.leave(remove=heard is not None)

    def _tell(self, telemetry: Telemetry, timeout: float) -> bool | None:
        """Send telemetry: True when it was taken, False when it never will be, None when it may be later."""
        warn = self._stock.complaints.warn
        try:
            self._transport.report(telemetry, timeout=timeout)
        except TemporaryError as error:  # an outage is told once, whatever it is met with
            warn("unreachable", f"The service didn't take the emitter's counters: {error}")
            return None
        except PermanentError as error:
            warn("telemetry", f"The service didn't take the emitter's counters: {error}")
            return None if error.status in {0, 401, 403} else False
        except Exception as error:  # noqa: BLE001 - a fault of ours delays no event
            warn("fault", "The emitter's counters could not be told", error)
            return False
        if telemetry.emitterid == self._stock.tally.emitter_id:
            self._stock.tally.told(telemetry)
        return True
