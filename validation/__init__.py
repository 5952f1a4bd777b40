"""A suite of Great Expectations for each table between two stages, the gate that runs it, and the report."""

import os

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before Great Expectations is imported, so that no telemetry is sent
