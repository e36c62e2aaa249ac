"""What a preloaded project needs to be patched by gevent in time: ``gunicorn -c …``, which reads this first."""

from gevent import monkey

monkey.patch_all()

from tests.processes.gunicorn_hooks import post_fork, when_ready, worker_exit  # noqa: E402, F401
