"""Published claims about the inside of language models, re-run and judged."""
