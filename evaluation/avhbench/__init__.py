"""AVHBench's four tasks: its annotations, asking a model, and scoring the answers."""
