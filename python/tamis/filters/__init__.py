"""One module per method: score the rows of a pool, then select."""
