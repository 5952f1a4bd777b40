"""Which clips matter: how hard each is and what it tells over several runs, and the fewest that keep a ranking."""
