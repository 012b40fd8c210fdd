"""Sparse autoencoders on language models: Bricken et al. 2023, Gao et al. 2024, Bussmann et al. 2024."""
