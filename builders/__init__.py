"""One module per stage of `dvc.yaml`, in that order; each has a `main(params)` that reads, calls pure functions and
writes.
"""
