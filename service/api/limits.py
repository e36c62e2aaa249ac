"""What one request may carry. Every limit is enforced while reading, before memory is spent."""

BODY_BYTES = 5 * 1024 * 1024  # on the wire
INFLATED_BYTES = 20 * 1024 * 1024  # after Content-Encoding is undone
EVENTS = 1_000  # in a batch
EVENT_BYTES = 256 * 1024
DEPTH = 32  # of nested arrays and objects in an event
EXTENSIONS = 64  # unknown CloudEvents attributes of an event

REPORT_BYTES = 64 * 1024  # of an emitter about itself
REASONS = 64  # for which an emitter counts what it lost, and what it never sent
COUNT = 2**53 - 1  # the greatest whole number that every reader of JSON holds exactly

PAGE_SIZE = 100
MAX_PAGE_SIZE = 1_000
PAGE_BYTES = 2 * 1024 * 1024  # of events that are read at once, as Postgres writes them; Python holds some times that

VALUE = 1_000  # characters of what a filter asks for
CHOICES = 100  # of which one has to hold
SEARCH = 4_000  # characters of q=
TERMS = 32  # in q=

KEYS = 100  # of a project that are usable at a time
OVERLAP = 30 * 24 * 3600  # seconds for which a key may outlive its rotation
KEY_BYTES = 16 * 1024  # of what is asked about a key
