"""Causal tracing: where in a model a fact about a subject is held, by noise on the subject and restoration."""
