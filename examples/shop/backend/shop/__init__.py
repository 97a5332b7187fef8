"""The example shop's back end."""
