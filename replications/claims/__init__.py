"""What was published, how it is compared with what was measured, and the verdict. No science, no torch."""
