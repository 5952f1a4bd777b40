"""Publication: the packaged dataset becomes a version on the Hub; what was published can be compared and rebuilt.

Never part of `dvc repro`: each step is a command of `mma-bench publish` that somebody runs. docs/release.md is the page
for them.
"""
