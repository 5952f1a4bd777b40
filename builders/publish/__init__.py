"""Publication: the packaged dataset becomes a version on the Hub; published versions can be compared and rebuilt.

Not part of `dvc repro`: each step is a command of `mma-bench publish`. See docs/release.md.
"""
