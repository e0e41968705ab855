"""DataComp's baseline filters, each exactly as its published code decides.

| rule | keeps a row iff | needs beside captions and metadata |
|---|---|---|
| :mod:`.basic` | English, > 2 words, > 5 characters, side >= 200, ratio <= 3 | a language model |
| :mod:`.caption` | English, > 1 fastText token, > 5 characters | a language model |
| :mod:`.laion2b` | CLIP B/32 >= 0.28, English | a language model, or a column |
| :mod:`.text_based` | English, a word is an ImageNet-21k class | WordNet, the list of its ids |
| :mod:`.image_based` | caption, centroid shared with ImageNet | L/14 embeddings, centroids |

The main column of each says which rows its rule keeps; the other columns say why. The rest of
DataComp's baselines are selections, not scores: `clip_score` is a threshold, or the largest share
with `ties="datacomp"`, over a column of the pool; `image_based_intersect_clip_score` is
`image_based` and that, the share being one of the whole pool.
"""

from tamis.filters.datacomp.basic import Basic
from tamis.filters.datacomp.caption import Caption
from tamis.filters.datacomp.image_based import ImageBased
from tamis.filters.datacomp.laion2b import Laion2b
from tamis.filters.datacomp.rule import Metadata, RuleScorer
from tamis.filters.datacomp.text_based import TextBased

__all__ = ["Basic", "Caption", "ImageBased", "Laion2b", "Metadata", "RuleScorer", "TextBased"]
