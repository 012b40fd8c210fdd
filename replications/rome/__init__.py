"""Location patching: where a landmark's city is read out of its name."""
