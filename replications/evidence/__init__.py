"""What evidence is made of: estimates with intervals, parts of a long run that survive it, versions.

For others: `run`, `stats`, `shards`, `versions`.
"""
