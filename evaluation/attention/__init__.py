"""White-box analysis: where a model's attention goes, and what its answer loses without it (sections 4.2 and 5.2.1)."""
