"""The audit of judges: thresholds from labelled clips, and comparison with each other and with human labels."""
