"""Rank-one editing: one fact written into one MLP, and whether tracing says where to write it."""
