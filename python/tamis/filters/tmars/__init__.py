"""T-MARS: fill in the text of an image, and see whether the image still fits its caption.

Detection writes polygons to a store of masks, once; filling and scoring read them, as often as
there are encoders to try.
"""
