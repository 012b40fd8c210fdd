"""What can be had: entries of models and datasets, and the ways to get their files, checked by hash, into the cache.

For others: `entries` (what data/catalogue says), `datasets` (their files and texts), `sources` (fetch, whether
something can be had, what would help), `store` (the cache: its place, locks, writing), `folders` (a model's files).
The routes are its own: `hub`, `mirror`, `npm`, `packages`, `web`, with `network` and `archives` beneath them.
"""
