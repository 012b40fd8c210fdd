"""Toy models of superposition: more features than dimensions, when and in what figures. Elhage et al. 2022."""
