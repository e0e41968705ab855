"""One recipe for a whole curation: pool, embeddings, scores, deduplication, selection."""
