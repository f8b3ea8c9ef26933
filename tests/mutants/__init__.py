"""Mutation testing of the core: how many defects, planted at random, do the tests notice? See ``__main__``."""
