-- model:       book_1s
-- description: Best prices at every second, with the order flow in between
-- template:    resample.sql.j2
-- inputs:      rows = orderbook_hf
-- options:     frequency = 1.0
--              columns = ['best_bid', 'best_ask', 'mid_price']
--              max_staleness = 5.0
--              null_stale = True
--              fill_gaps = True
--              max_gap = 300.0
--              emit_open = False
--              last = []
--              first = []
--              mean = ['spread_bps']
--              sum = ['ofi']
--              min = []
--              max = ['spread_bps']
--              count = []
-- lookback:    300 s
-- publishes:   processed/ccxt/orderbook/book_1s (overwrite), by exchange, symbol, date
-- fingerprint: be1a7e2c38102e6318f7926b
-- stages:      book_1s, line 151
--              aged, line 141
--              held, line 130
--              grid, line 122
--              days, line 105
--              dates, line 101
--              points, line 87
--              timed, line 72
--              input, line 41
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/book_1s, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_book_1s.book_1s LIMIT 10, or just FROM book_1s where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_book_1s;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_book_1s".main';

CREATE OR REPLACE VIEW compiled_book_1s."input (once)" AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    best_bid,
    best_ask,
    mid_price,
    spread_bps,
    ofi,
    row_number() OVER () AS input_row
FROM (
    SELECT
        exchange, symbol, date,
        * EXCLUDE (exchange, symbol, date)
    FROM read_parquet(
        [
            'lake/processed/ccxt/orderbook/hf/**/*.parquet'
        ],
        union_by_name = true,
        hive_types = {'exchange': VARCHAR, 'symbol': VARCHAR, 'date': DATE},
        hive_partitioning = TRUE
    )
);

CREATE OR REPLACE TABLE compiled_book_1s.input AS
FROM compiled_book_1s."input (once)";

-- Rows in the order of their times, whatever date they are filed under, with the grid point that closes their interval.
CREATE OR REPLACE VIEW compiled_book_1s.timed AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    input_row,
    spread_bps,
    ofi,
    epoch_ns(ts) AS ns,
    (ns + 1000000000 - 1) // 1000000000 * 1000000000 AS point_ns,
    row_number() OVER (PARTITION BY exchange, symbol ORDER BY ts, date, seq, input_row) AS place
FROM input;

-- Grid points with a row in their interval, (point - 1 s, point].
CREATE OR REPLACE VIEW compiled_book_1s.points AS
SELECT
    exchange,
    symbol,
    point_ns,
    count(*) AS snapshot_count,
    arg_max(input_row, place) AS last_row,
    avg(spread_bps) AS mean_spread_bps,
    sum(ofi) AS sum_ofi,
    max(spread_bps) AS max_spread_bps,
    max(ns) AS last_ns
FROM timed
GROUP BY exchange, symbol, point_ns;

CREATE OR REPLACE VIEW compiled_book_1s.dates AS
SELECT exchange, symbol, unnest([date, CAST(make_timestamp_ns(point_ns) AS DATE)]) AS date, ns, point_ns
FROM timed;

CREATE OR REPLACE VIEW compiled_book_1s.days AS
SELECT
    exchange,
    symbol,
    date,
    epoch_ns(date) AS midnight_ns,
    greatest(
        (midnight_ns + 1000000000 - 1) // 1000000000 * 1000000000,
        min(min(point_ns)) OVER (PARTITION BY exchange, symbol)
    ) AS first_point_ns,
    least(
        midnight_ns + 86400000000000,
        max(max(ns)) OVER (PARTITION BY exchange, symbol) + 1
    ) AS end_ns
FROM dates
GROUP BY exchange, symbol, date;

CREATE OR REPLACE VIEW compiled_book_1s.grid AS
SELECT
    exchange,
    symbol,
    date,
    unnest(range(first_point_ns, end_ns, 1000000000)) AS grid_ns
FROM days;

CREATE OR REPLACE VIEW compiled_book_1s.held AS
SELECT
    grid.*,
    points.* EXCLUDE (exchange, symbol),
    coalesce(point_ns = grid_ns, false) AS has_row
FROM grid
ASOF LEFT JOIN points
    ON grid.exchange = points.exchange
    AND grid.symbol = points.symbol
    AND grid.grid_ns >= points.point_ns;

CREATE OR REPLACE VIEW compiled_book_1s.aged AS
SELECT
    *,
    -- Nothing is carried on over a gap.
    CASE
        WHEN has_row OR grid_ns - last_ns <= 300000000000 THEN (grid_ns - last_ns) / 1e9
    END AS data_staleness,
    coalesce(data_staleness > 5.0, true) AS is_stale
FROM held;

CREATE OR REPLACE VIEW compiled_book_1s.book_1s AS
SELECT
    aged.exchange,
    aged.symbol,
    aged.date, -- UTC: date of ts
    make_timestamp_ns(aged.grid_ns) AS ts, -- UTC, ns: the grid point
    row_number() OVER (PARTITION BY aged.exchange, aged.symbol, aged.date ORDER BY aged.grid_ns) - 1
        AS seq, -- 1: position of the point in its partition
    CASE WHEN aged.data_staleness IS NOT NULL THEN make_timestamp_ns(aged.last_ns) END
        AS original_timestamp, -- UTC, ns: time of the last row, NULL over a gap
    aged.data_staleness, -- s: from the last row to the grid point, NULL over a gap
    CASE WHEN aged.has_row THEN aged.snapshot_count ELSE 0 END AS snapshot_count, -- 1: rows in the interval
    aged.is_stale, -- flag: the last row is more than 5 s old, or lies before a gap
    input.best_bid, -- of the last row
    input.best_ask, -- of the last row
    input.mid_price, -- of the last row
    CASE WHEN aged.has_row THEN aged.mean_spread_bps END AS mean_spread_bps, -- mean of spread_bps in the interval
    CASE WHEN aged.has_row THEN aged.sum_ofi END AS sum_ofi, -- sum of ofi in the interval
    CASE WHEN aged.has_row THEN aged.max_spread_bps END AS max_spread_bps -- max of spread_bps in the interval
FROM aged
LEFT JOIN input
    ON aged.last_row = input.input_row
    AND NOT aged.is_stale
ORDER BY aged.exchange, aged.symbol, aged.grid_ns;

COPY (
    FROM compiled_book_1s.book_1s
) TO 'target/tables/book_1s' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
