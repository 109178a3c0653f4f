"""Models as one uniform Classifier: built, adapted with peft, fine-tuned, cached and put into lossless form.

This package knows nothing of suites, attacks or scores: it never imports ``bench``.
"""
