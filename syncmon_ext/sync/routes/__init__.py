"""Routes: one module per pair of databases."""
