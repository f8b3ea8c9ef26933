"""What keeps a service from starting."""


class StartError(Exception):
    """The service cannot start. The message says why and what to do."""
