"""What the build shows: charts, the gallery of clips, and the README's picture."""
