import pytest
from django.contrib.contenttypes.models import ContentType


@pytest.fixture(autouse=True)
def no_content_types_of_before() -> None:
    """Forget the ids that content types had before a test emptied their table."""
    ContentType.objects.clear_cache()
