from tests.kafka import kafka_broker
from tests.milvus import milvus_server

__all__ = ["kafka_broker", "milvus_server"]
