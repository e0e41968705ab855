"""The run directory: atomic files, manifest, resume, lock, quarantine, memory plan.

This package knows files and records, never pools or methods; :mod:`tamis.data` builds on it.
"""
