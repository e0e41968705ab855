"""tamis: turn a noisy pool of image-text pairs, texts or embeddings into the subset worth training on."""
