"""Embeddings from images and texts: encoders behind one protocol, and the step that runs them."""
