"""Given names in a text, in any script: what is folded, where a name may end, and where it may be a word instead."""
