from tests.equivalence import shelves


class Publisher(shelves.Publisher):
    pass


class Genre(shelves.Genre):
    pass


class Author(shelves.Author):
    pass


class Liking(shelves.Liking):
    pass


class Book(shelves.Book):
    pass


class Audiobook(shelves.Audiobook, Book):
    pass


class Novel(Book):
    class Meta:
        proxy = True
