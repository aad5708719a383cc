"""Drop-in layers in less time: the same parameters and the same values as the originals."""
