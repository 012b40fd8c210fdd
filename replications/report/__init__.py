"""From evidence to the scoreboard."""
