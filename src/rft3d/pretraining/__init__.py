"""Stage 0, for tiny models only: pre-train the vision tower and the geometry encoder, then freeze them."""
