"""The specialist: one network hears, another sees, and neither can lead the other."""
