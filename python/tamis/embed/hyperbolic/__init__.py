"""Encoders whose rows are tangent vectors of a hyperbolic space: MERU's kind, and HYPE's."""
