"""Which count predicts what was measured? Terms, fits, laws, errors on runs not seen, pairs."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach(__name__, submodules=["results"])
