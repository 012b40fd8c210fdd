"""Steering by a dictionary's features, and is it any better than asking? Templeton et al. 2024, Wu et al. 2025."""
