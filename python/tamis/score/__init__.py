"""Scores: rows of a pool in, named columns out, resumable by unit."""
