"""Card numbers are masked, sensitive authentication data is removed: in rows, in messages, in what is stored."""

from gatepost_mask.plugin import Mask, MaskConfig

__all__ = ["Mask", "MaskConfig"]
