"""Fills the tables for `benchmarks.query`: events of several projects over some months, with the skew of a shop.

Made in SQL, since generating ten million events in Python would take longer than asking about them. What the service
counts besides is filled by its own folds, from the same deltas and tallies that `store_events` would have written.
"""

from datetime import datetime, timedelta
from importlib import import_module
from typing import Any

import psycopg

DAYS = 90
CHUNK = 250_000
COUNTS = "service.stats.migrations.0001_counts"

# The number of an event gives all of it, so that one can name what caused it. Five in a row are of one request.
FUNCTIONS = """
CREATE FUNCTION bench_moment(number bigint, total bigint, start timestamptz, days int) RETURNS timestamptz
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    -- More by day than by night.
    SELECT start + interval '1 day' * (days * x + 0.8 / (2 * pi()) * sin(2 * pi() * days * x))
    FROM (SELECT number / total::float AS x) AS share
$$;
CREATE FUNCTION bench_id(number bigint, total bigint, start timestamptz, days int) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (
        lpad(to_hex((extract(epoch FROM bench_moment(number, total, start, days)) * 1000)::bigint), 12, '0')
        || '7' || substr(hash, 1, 3) || 'a' || substr(hash, 4, 15)
    )::uuid
    FROM (SELECT md5(number::text) AS hash) AS made
$$;
-- A number below the limit, the small ones far more often.
CREATE FUNCTION bench_skewed(number bigint, salt int, below int) RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT floor(below * ((hashint8(number * 31 + salt) & 1048575) / 1048576.0::float) ^ 3)::int
$$;
-- As many keys of objects as a call that may name ``most`` rows happens to name, none more often than others.
CREATE FUNCTION bench_keys(number bigint, most int, objects int) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_agg(DISTINCT (hashint8(number * 31 + place) & 1048575) % objects)
    FROM generate_series(0, bench_skewed(number, 11, most)) AS place
$$;
"""
EVENTS = """
INSERT INTO event
SELECT
    project, id, type,
    CASE
        WHEN type LIKE 'celery%%' THEN '/shop/worker'
        WHEN bench_skewed(number / 5, 5, 100) < 80 THEN '/shop/web'
        ELSE '/shop/admin'
    END,
    CASE WHEN model OR bulk THEN sender END,
    CASE WHEN model THEN bench_skewed(number, 8, %(objects)s)::text END,
    CASE type
        WHEN 'django.db.models.signals.post_save' THEN (ARRAY['updated', 'created'])[1 + bench_skewed(number, 6, 2)]
        WHEN 'django.db.models.signals.post_delete' THEN 'deleted'
        WHEN 'django.db.models.signals.m2m_changed' THEN 'added'
        WHEN 'heliograph.update' THEN 'update'
    END,
    CASE WHEN number / 5 %% 5 > 0 THEN 'auth.User/' || bench_skewed(number / 5, 9, 5000) END,
    md5((number / 5)::text),
    CASE WHEN number %% 5 > 0 THEN bench_id(number - 1, %(total)s, %(start)s, %(days)s)::text END,
    md5((number / 5)::text)::uuid,
    emitter, number,
    CASE WHEN model OR bulk THEN
        CASE WHEN bench_skewed(number / 5, 7, 100) < 90 THEN 'committed' ELSE 'rolledback' END
    END,
    -- One in a thousand tells of what was minutes before, one in a hundred thousand hours.
    CASE
        WHEN number %% 100000 = 7 THEN moment - interval '1 second' * (hashint8(number) & 65535)
        WHEN number %% 1000 = 7 THEN moment - interval '1 second' * (hashint8(number) & 255)
        ELSE moment
    END,
    moment + interval '1 second',
    CASE WHEN relation THEN jsonb_build_object(
        'field', 'tags', 'op', 'add', 'reverse', false, 'model', 'shop.Model' || bench_skewed(number, 10, 40),
        'pks', bench_keys(number, 5, %(objects)s)
    ) WHEN bulk THEN jsonb_build_object(
        'operation', 'update', 'model', sender, 'values', jsonb_build_object('status', 'sent'),
        'where', jsonb_build_object('status', 'paid'),
        -- One in fifty names no rows.
        'count', jsonb_array_length(bench_keys(number, 20, %(objects)s)),
        'pks', CASE WHEN number %% 50 = 7 THEN 'null' ELSE bench_keys(number, 20, %(objects)s) END
    ) WHEN model THEN jsonb_build_object(
        'changes', jsonb_build_object(
            'status', jsonb_build_array('new', (ARRAY['paid', 'sent', 'returned'])[1 + number %% 3]),
            'total', jsonb_build_array('19.90', (number %% 90)::text || '.90')
        ), 'diff_source', 'loaded', 'update_fields', null
    ) ELSE jsonb_build_object('order', number %% 5000, 'note', md5(number::text), 'duration', number %% 977) END,
    NULL
FROM (
    SELECT
        number, bench_id(number, %(total)s, %(start)s, %(days)s) AS id, 1 + bench_skewed(number / 5, 1, 5) AS project,
        bench_moment(number, %(total)s, %(start)s, %(days)s) AS moment,
        (ARRAY[
            'django.db.models.signals.post_save', 'django.db.models.signals.post_save',
            'django.core.signals.request_finished', 'django.db.models.signals.post_delete', 'shop.signals.order_paid',
            'django.db.models.signals.m2m_changed', 'celery.signals.task_postrun', 'shop.signals.order_sent',
            'shop.signals.stock_low', 'heliograph.update', 'django.contrib.auth.signals.user_logged_in',
            'shop.signals.coupon_used'
        ])[1 + bench_skewed(number, 2, 12)] AS type,
        'shop.Model' || bench_skewed(number, 3, 40) AS sender
    FROM generate_series(%(first)s::bigint, %(last)s::bigint) AS number
) AS made
CROSS JOIN LATERAL (SELECT
    type LIKE 'django.db%%' AS model, type = 'heliograph.update' AS bulk, type LIKE '%%m2m_changed' AS relation,
    -- Four processes, started anew each day.
    (substr(hash, 1, 12) || '7' || substr(hash, 13, 3) || 'a' || substr(hash, 16, 15))::uuid AS emitter
    FROM md5(project::text || date_trunc('day', moment, 'UTC')::text || number / 5 %% 4) AS hash
) AS besides
"""
TALLIES = """
INSERT INTO event_tally (project_id, id, emitter_id, source, sequences, stored_at)
SELECT
    project_id, min(id::text)::uuid, emitter_id, min(source), int8multirange(int8range(1, count(*) + 1)),
    max(received_at)
FROM event GROUP BY project_id, emitter_id
"""


def fill(connection: psycopg.Connection[Any], total: int, now: datetime) -> None:
    """Store ``total`` events of the last `DAYS` days, up to ``now``; and what `store_events` would have put beside."""
    connection.execute(FUNCTIONS)
    values: dict[str, Any] = {"total": total, "days": DAYS, "start": now - timedelta(days=DAYS)}
    values |= {"objects": max(100, total // 1000)}
    for first in range(0, total, CHUNK):
        connection.execute(EVENTS, values | {"first": first, "last": min(first + CHUNK, total) - 1})
        connection.commit()
    connection.execute(TALLIES)
    connection.execute(import_module(COUNTS).RECOUNT)
    connection.commit()
