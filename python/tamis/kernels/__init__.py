"""The compiled operations as documented Python functions, and their slow NumPy reference."""
