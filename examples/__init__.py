"""Worked examples: data and small programs that use Mneme from outside."""
