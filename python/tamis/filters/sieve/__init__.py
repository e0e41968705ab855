"""SIEVE: how close the text of a pair is to captions that a model generates for its image."""
