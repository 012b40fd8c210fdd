"""The exact causal engine: every cell of a patching map in one pass over the layers."""
