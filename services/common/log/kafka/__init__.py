"""The log on Kafka.

Empty of imports: the client takes a moment, and whoever configures a log needs its ``security`` alone.
"""
