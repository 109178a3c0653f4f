"""The lossless form that is attacked."""
