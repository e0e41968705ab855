"""The run directory: atomic files, a manifest, a lock, resume, quarantine and accounting."""
