"""Stages side by side: what is stale is run as many at a time as there are cores and memory for, here or on a cluster.

DVC runs one stage at a time. Here a stage is a process of its own on one thread, and one process owns DVC: it asks DVC
which stages are stale, starts them in the order that ends soonest, and has DVC record each in dvc.lock. What comes out,
the lock included, is what `dvc repro` would have made.
"""

from replications.scheduler.reproduce import Options, reproduce

__all__ = ["Options", "reproduce"]
