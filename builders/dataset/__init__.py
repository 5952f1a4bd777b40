"""The dataset as it is packaged: its columns, its card and its licences."""
