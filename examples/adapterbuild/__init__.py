"""The steps of ``examples/build_adapter.py``: records, series, views, measurements."""
