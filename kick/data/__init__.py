"""The evaluation data: data sets, the documents made from them, corpora, and local mirrors of them."""
