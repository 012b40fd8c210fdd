"""Indirect object identification: who gave what to whom, and which states and heads carry the name."""
