"""Which bulk calls nobody hears of: on models of migrations, and on the table of a relation, past that relation."""

import sys
from typing import Any

from django.apps import apps

from emitter import selection

# The callers within Django: of what a call is made of or goes with a deleted object, and of what m2m_changed tells.
MADE_OF = {"django.db.models.query", "django.db.models.deletion"}
RELATIONS = "django.db.models.fields.related_descriptors"
PASSED_ON = {__name__, "emitter.bulk", "django.db.models.manager"}  # whose caller is the one that is meant


def is_unheard(model: Any) -> bool:
    """Tell whether a call is a hole that is made on a model of a migration, or past the relation it is the table of."""
    meta, by = model._meta, caller()
    if by in MADE_OF:
        return False
    if meta.apps is not apps:
        model = apps.all_models.get(meta.app_label, {}).get(meta.model_name)
    elif by == RELATIONS:
        return False
    declaring = model and model._meta.auto_created  # by the model that has the relation
    if declaring:
        return "m2m_changed" in selection.names() and selection.policy(declaring) is not None
    return model is not None and selection.policy(model) is not None


def caller() -> str:
    """Return the module that made the call which is being wrapped."""
    frame: Any = sys._getframe(1)
    while frame is not None and frame.f_globals.get("__name__") in PASSED_ON:
        frame = frame.f_back
    return str(frame and frame.f_globals.get("__name__"))
