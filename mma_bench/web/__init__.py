"""What the web apps with accounts share: the database of accounts, the gate that each request passes, logging in, the
outbox of the browser, and the options with which an app is served.

One app lets people judge clips (`builders.review`), the other lets them answer the benchmark (`evaluation.people`).
"""
