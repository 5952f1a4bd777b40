"""Charts, the gallery of clips, and the README's picture."""
