"""Recovering known features out of superposition with sparse autoencoders. Sharkey, Braun & Millidge 2022."""
