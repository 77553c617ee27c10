"""Spatial answers from boxes or without looking: questions solved, failures split, the official key checked."""
