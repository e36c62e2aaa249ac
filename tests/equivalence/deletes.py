"""Rules that delete: objects with what depends on them, many at once, and past everything."""

from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import rule

from tests.equivalence import values
from tests.equivalence.world import World

OWNERS = ["Author", "Publisher"]  # twice as often: what hangs on them is what deleting is about
MODELS = st.sampled_from([*OWNERS, *OWNERS, "Genre", "Book", "Audiobook", "Novel", "Liking"])


class Deletes(World):
    @rule(name=MODELS, n=values.index)
    def delete(self, name: str, n: int) -> None:
        model = getattr(self.models, name)
        key = self.key(model, n)
        if key is not None:
            with self.operation("delete()"):
                model.objects.get(pk=key).delete()

    @rule(n=values.index)
    def delete_a_kept_one(self, n: int) -> None:
        if kept := self.held(n):
            if kept.instance.pk is None:
                return
            with self.operation("delete() of an instance held", kept):
                kept.instance.delete()

    @rule(n=values.index)
    def delete_a_child_only(self, n: int) -> None:
        key = self.key(self.models.Audiobook, n)
        if key is not None:
            with self.operation("delete(keep_parents=True)"):
                self.models.Audiobook.objects.get(pk=key).delete(keep_parents=True)

    @rule(name=MODELS, numbers=values.indexes)
    def delete_many(self, name: str, numbers: list[int]) -> None:
        model = getattr(self.models, name)
        with self.operation("queryset.delete()"):
            model.objects.filter(pk__in=self.keys(model, numbers)).delete()

    @rule(text=values.texts)
    def delete_by_a_condition(self, text: str) -> None:
        with self.operation("queryset.delete()"):
            self.models.Book.objects.filter(title=text).delete()

    @rule(name=MODELS, numbers=values.indexes)
    def raw_delete(self, name: str, numbers: list[int]) -> None:
        model = getattr(self.models, name)
        found: Any = model.objects.filter(pk__in=self.keys(model, numbers))
        with self.operation("_raw_delete()"):
            found._raw_delete(found.db)
