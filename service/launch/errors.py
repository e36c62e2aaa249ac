"""The one exception of launching."""


class LaunchError(Exception):
    """The service can't be started, for a reason that is told to whoever starts it."""
