"""What features are about: specificity (Bricken et al. 2023), neurons split into features, feature cards."""
