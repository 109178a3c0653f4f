"""The libraries' defects, each worked around here and nowhere else; tests/attacks/test_workarounds.py fails when one is mended.

Nothing is patched: a method that the library lets subclasses override is overridden, or a subclass of ours runs the library's
own function with other globals (``rebound``).
"""
