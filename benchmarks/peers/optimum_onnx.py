"""Predicts texts with an exported folder in Optimum: optimum_onnx.py FOLDER CLASS FILE TEXTS.

CLASS is one of Optimum's, such as ORTModelForTokenClassification; FILE is relative to the folder,
and TEXTS a JSON list of texts, or of pairs. Prints one JSON list: by output, its numbers.
"""

import json
import sys
from pathlib import Path


def main() -> None:
    """Prints the logits of each text."""
    import optimum.onnxruntime
    import torch
    from transformers import AutoTokenizer

    folder, kind, file, texts = sys.argv[1:]
    path = Path(file)
    model_class = getattr(optimum.onnxruntime, kind)
    model = model_class.from_pretrained(folder, subfolder=str(path.parent), file_name=path.name)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    answers = []
    for text in json.loads(texts):
        parts = text if isinstance(text, list) else [text]
        with torch.no_grad():
            outputs = model(**tokenizer(*parts, return_tensors="pt"))
        answers.append({name: value[0].tolist() for name, value in outputs.items()})
    print(json.dumps(answers))


if __name__ == "__main__":
    main()
