"""Which sense a model trusts: trust curves over degraded clips, and the ranking of picture, sound and caption."""
