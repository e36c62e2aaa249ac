"""The answer to ``POST events/``, for the schema; `operations.Receipt` is what is sent."""

from typing import Any

from rest_framework import serializers

from service.api.schema import FaultSerializer


class ErrorSerializer(FaultSerializer):
    index = serializers.IntegerField(help_text="Place in the batch, from 0.")
    id = serializers.CharField(help_text="The id that the event gave itself.", allow_null=True)


class ReceiptSerializer(serializers.Serializer[Any]):
    """accepted + duplicates + rejected is the number of events sent."""

    accepted = serializers.IntegerField()
    duplicates = serializers.IntegerField()
    rejected = serializers.IntegerField()
    errors = ErrorSerializer(many=True)  # type: ignore[assignment]  # DRF pops fields
