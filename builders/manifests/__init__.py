"""Looking at manifests of clips before a build."""
