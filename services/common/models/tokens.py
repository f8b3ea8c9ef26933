"""How many tokens a text has, where no model is asked: one estimate for every host of plug-ins."""

_TOKEN_BYTES = 4


def count_tokens(text: str) -> int:
    """A token for every four bytes, at least one a word."""
    return max(-(-len(text.encode()) // _TOKEN_BYTES), len(text.split()))
