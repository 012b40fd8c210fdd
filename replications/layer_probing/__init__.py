"""Linear probes of every layer: what can be read off, what a probe would learn anyway, and what the model uses."""
