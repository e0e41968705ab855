"""The steps of ``examples/build_pool.py``: read the source, choose, encode, fit, write."""
