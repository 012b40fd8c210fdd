"""Dictionaries of features: sparse autoencoders, how they are trained, stored and measured."""
