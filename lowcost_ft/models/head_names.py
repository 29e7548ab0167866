"""Which modules of a task model are heads: what the checkpoint lacks must be trained."""

from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.models.families import Family
from lowcost_ft.tasks.heads import Head

__all__ = ["find_heads"]


def find_heads(
    model: Any, family: Family | None, head: Head, missing: set[str] | None, model_id: str
) -> tuple[tuple[str, ...], list[str], list[str]]:
    """Names the heads: what stands beside the backbone, and a pooler that the checkpoint lacks.

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
    heads = set(beside) | poolers
    names = tuple(name for name, _ in model.named_modules() if name in heads)
    if poolers:
        notices.append(f"{', '.join(sorted(poolers))} is new and trained as part of the head")
    return names, beside, notices
