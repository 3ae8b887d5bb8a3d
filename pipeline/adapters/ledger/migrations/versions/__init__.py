"""One module per revision; the name is the revision's."""
