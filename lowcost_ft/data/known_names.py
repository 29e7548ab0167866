"""Names that columns usually have, the most usual one first."""

import re

__all__ = ["ANSWER_NAMES", "CONTEXT_NAMES", "DOCUMENT_NAMES", "GLINER_SPANS", "LABEL_NAMES"]
__all__ += ["LABEL_STUDIO_RELATION", "LIST_NAMES", "MESSAGES_NAMES", "PRODIGY_YES_OR_NO_VIEWS"]
__all__ += ["PROMPT_NAMES", "QUESTION_NAMES", "REFERENCE_NAMES", "REPLY_NAMES", "SENTENCE_NAME"]
__all__ += ["SOURCE_NAMES", "SPACY_TAG", "SUMMARY_NAMES", "TAG_NAMES", "TARGET_NAMES", "TEXT_NAMES"]
__all__ += ["TRANSLATION_NAME", "TURNS_NAMES", "WORD_NAMES"]

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

SOURCE_NAMES = ("source", "src", "source_text", "input", "prompt", "sentence", "text")
"""Of texts to translate, as are `TARGET_NAMES` of their translations."""

TARGET_NAMES = (
    *("target", "tgt", "trg", "target_text", "translation", "output", "completion", "reference"),
    "references",
)
TRANSLATION_NAME = "translation"
"""Of a column that holds texts by language."""

DOCUMENT_NAMES = (
    *("document", "source", "article", "text", "dialogue", "body", "content", "message", "report"),
    *("input", "prompt", "passage"),
)
"""Of texts to sum up, as are `SUMMARY_NAMES` of their summaries."""

SUMMARY_NAMES = (
    *("summary", "target", "highlights", "summaries", "tldr", "abstract", "headline", "title"),
    *("output", "completion", "reference", "references"),
)
REFERENCE_NAMES = ("references", "reference", "responses")
"""Of all right texts of a row."""

LIST_NAMES = ("references", "responses", "replies", "summaries")
"""Of columns whose name says that a cell may hold several texts."""

MESSAGES_NAMES = (
    *("messages", "conversations", "conversation", "dialogue", "dialog", "chat"),
    *("dialogues", "dialogs"),
)
"""Of conversations whose turns have roles."""

TURNS_NAMES = ("context", "history", "turns")
"""Of what was said before a reply, as are `PROMPT_NAMES` where that is one text."""

PROMPT_NAMES = ("prompt", "question", "query", "input", "source", "text", "user", "human")
REPLY_NAMES = (
    *("completion", "response", "reply", "answer", "output", "target", "responses", "replies"),
    *("chosen", "assistant", "bot"),
)
