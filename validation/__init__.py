"""One suite of Great Expectations for each table between two stages, the gate that runs them, and its report."""

import os

os.environ["GX_ANALYTICS_ENABLED"] = "false"  # before Great Expectations is imported: nothing is sent anywhere
