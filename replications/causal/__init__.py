"""The exact causal engine: every cell of a patching map in one pass over the layers.

For others: `experiment` (pairs on a trained model and its twin), `patching` (pairs, and TransformerLens' helpers for
families that the engine does not know), `roles` and `tables` (maps by role of the token), and the engine: `runs` and
`stack` (what a run keeps), `patch`, `paths`, `ablate`, `sweep` over `cells`, `metrics`, `noise`. Its own: `maps`.
"""
