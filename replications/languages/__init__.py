"""What `layer_probing` found of one model in several languages, compared: a stage without a model, and its figure."""
