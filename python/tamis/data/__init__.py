"""Pools: reading embeddings and ids from the layouts that people have, writing subsets."""
