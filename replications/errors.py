"""The exceptions that a user is meant to see."""


class Refusal(Exception):  # noqa: N818  (what the program does, not a fault in it)
    """One sentence naming the file, the row and what would be right; the CLI prints it and exits with 2."""


class Unavailable(Refusal):
    """Something cannot be had on this machine: says why, and what would make it available."""
