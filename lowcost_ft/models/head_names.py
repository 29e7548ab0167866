"""Which modules of a task model are heads: they are trained in full, whatever the method."""

from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.models.family import Family
from lowcost_ft.tasks.heads import Head

__all__ = ["find_heads"]


def find_heads(
    model: Any, family: Family | None, head: Head, missing: set[str] | None, model_id: str
) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Names the heads: what stands beside the backbone, and the pooler between them.

    BERT and ALBERT keep a pooler in the backbone: a dense layer over the first token, of which
    the head of a text reads. It is trained even where the checkpoint has it: it was made for
    another task, or for none (sentence-transformers never use it), and in other families this
    layer is part of the head. Frozen, it cost up to 0.05 of F1 (`docs/defaults.md`).

    Args:
        model: The task model.
        family: Its entry in the table, which must agree.
        head: What the model ends in.
        missing: Weights that are new; None when nothing was loaded.
        model_id: For messages.

    Returns:
        Paths of the head modules in the model's order, those beside the backbone, and notices.

    Raises:
        UserError: The checkpoint lacks weights of the backbone.
    """
    if not head.new:  # Part of the pretrained weights, which stay as they are.
        if missing:
            raise UserError(
                f"model_id: the weights of {model_id!r} lack {len(missing)} tensors or hold them "
                f"in other shapes, e.g. {min(missing)}; the checkpoint is damaged or not a "
                f"{head.title} model of type {model.config.model_type!r}"
            )
        return (), [], []
    backbone = model.base_model_prefix
    beside = [
        name
        for name, module in model.named_children()
        if name != backbone and any(True for _ in module.parameters())
    ]
    notices = []
    if family is not None and (unforeseen := set(beside) - {*family.head_names, *head.modules}):
        notices.append(
            f"the table of families does not name {', '.join(sorted(unforeseen))} as a head of "
            f"{family.name}; trained and saved as one all the same"
        )
    poolers, damaged = set(), []
    for key in sorted(missing or ()):
        if not key.startswith(f"{backbone}."):
            continue
        before, found, _ = key.partition(".pooler.")
        if found:
            poolers.add(f"{before}.pooler")
        else:
            damaged.append(key)
    if damaged:
        raise UserError(
            f"model_id: the weights of {model_id!r} lack {len(damaged)} tensors of the backbone or "
            f"hold them in other shapes, e.g. {damaged[0]}; the checkpoint is damaged or not "
            f"of model type {model.config.model_type!r}"
        )
    if poolers:
        notices.append(f"{', '.join(sorted(poolers))} is new and trained as part of the head")
    for name, pooler in model.named_modules():
        if name != f"{backbone}.pooler" or name in poolers:
            continue
        if all(parameter.is_floating_point() for parameter in pooler.parameters()):
            poolers.add(name)
        else:
            notices.append(f"{name} is quantized in the checkpoint: it stays as it is")
    heads = {*beside, *poolers}
    names = tuple(name for name, _ in model.named_modules() if name in heads)
    return names, beside, notices
