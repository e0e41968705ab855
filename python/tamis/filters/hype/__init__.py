"""HYPE: how specific the image and the text of a pair are, and how well they go together.

Rows are points of a hyperbolic space: an encoder gives them, an adapter makes them of frozen
embeddings, or a pool holds them. What is specific is judged against a reference set.
"""
