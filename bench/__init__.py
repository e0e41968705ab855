"""The benchmarks: side by side with rivals, answers checked. See README.md; start with run.py."""
