"""Sample pools: images, texts and metadata, row by row, from the layouts that people have."""
