"""What a script or a notebook calls: ``evaluate``, ``run``, ``load``, ``compare``; and the ``Result``."""
