"""What printed tables imply, recomputed from the tables themselves; needs no model weights."""
