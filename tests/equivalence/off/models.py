from tests.equivalence.shelves import declared

globals().update(declared(__name__))
