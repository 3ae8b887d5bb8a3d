"""The rules of the review desk: standard library only, no input or output, no clock."""
