"""s-CLIPLoss (negCLIPLoss): the CLIP score less what a row has in common with many others.

Y. Wang et al., "CLIPLoss and Norm-Based Data Selection Methods for Multimodal Contrastive
Learning", NeurIPS 2024 (arXiv 2405.19547).
"""

from __future__ import annotations

from tamis.filters.negcliploss.batches import Batches
from tamis.filters.negcliploss.loss import neg_clip_loss
from tamis.filters.negcliploss.scorer import NegClipLoss

__all__ = ["Batches", "NegClipLoss", "neg_clip_loss"]
