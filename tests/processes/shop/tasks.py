"""The shop's Celery application, on a broker made of files."""

import os

import django
from celery import Celery

django.setup()

from tests.processes.shop import operations  # noqa: E402  # a model needs Django to be set up

folder = os.environ["BROKER"]
app = Celery("shop", broker="filesystem://")
app.conf.broker_transport_options = {
    "data_folder_in": folder,
    "data_folder_out": folder,
    "control_folder": f"{folder}/control",
    "polling_interval": 0.05,
}
app.conf.worker_hijack_root_logger = False


@app.task
def pay(number: int) -> None:
    operations.pay(number)
