"""Filtered webdataset shards, every member's bytes unchanged."""

from tamis.reshard.job import reshard

__all__ = ["reshard"]
