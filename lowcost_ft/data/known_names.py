"""Names that columns usually have, the most usual one first."""

import re

__all__ = ["ANSWER_NAMES", "CONTEXT_NAMES", "GLINER_SPANS", "LABEL_NAMES"]
__all__ += ["LABEL_STUDIO_RELATION", "PRODIGY_YES_OR_NO_VIEWS", "QUESTION_NAMES", "SENTENCE_NAME"]
__all__ += ["SPACY_TAG", "TAG_NAMES", "TEXT_NAMES", "WORD_NAMES"]

TEXT_NAMES = (
    *("text", "sentence", "content", "message", "utterance", "query", "question", "review"),
    *("tweet", "document", "body", "comment"),
)
LABEL_NAMES = (
    *("label", "labels", "category", "intent", "class", "target", "sentiment", "topic"),
    *("emotion", "score", "rating", "stars"),
)
QUESTION_NAMES = ("question", "query", "problem")
CONTEXT_NAMES = ("context", "passage", "paragraph", "document", "text")
"""Of the texts that questions are about."""

ANSWER_NAMES = ("answers", "answer")
WORD_NAMES = ("word", "words", "token", "tokens", "form")
"""Of files with one word a line or row, as are `TAG_NAMES`."""

TAG_NAMES = (
    *("tag", "tags", "ner", "ner_tag", "ner_tags", "ner-tag", "entity", "iob", "bio", "iob_tag"),
    *("bio_tag", "label", "labels"),
)

SENTENCE_NAME = re.compile(r"sent(ence)?s?[ _.-]*(id|no|nr|num|number|idx|index|#)?[ _.]*")
"""Of a column that numbers the sentences, in lower case."""

PRODIGY_YES_OR_NO_VIEWS = ("ner", "spans")
"""Views of Prodigy's that show one span, to accept or to reject."""

SPACY_TAG = "ner"
"""Key of a token's tag in spaCy's training data of version 2."""

GLINER_SPANS = "ner"
"""Key of the spans in GLiNER's training data."""

LABEL_STUDIO_RELATION = "relation"
"""Type of a result of Label Studio's that joins two spans."""
