-- model:       trades_100ms
-- description: The last trade of each tenth of a second that has one
-- template:    resample.sql.j2
-- inputs:      rows = ccxt_trades
-- options:     frequency = 0.1
--              columns = ['*']
--              max_staleness = 60.0
--              null_stale = False
--              fill_gaps = False
--              max_gap = 300.0
--              emit_open = False
--              last = []
--              first = []
--              mean = []
--              sum = ['amount']
--              min = []
--              max = []
--              count = ['price']
-- lookback:    0.1 s
-- publishes:   processed/ccxt/trades/trades_100ms (overwrite), by exchange, symbol, date
-- fingerprint: e17a832050ff66e7c559754d
-- stages:      trades_100ms, line 159
--              aged, line 152
--              held, line 144
--              points, line 131
--              timed, line 116
--              input, line 38
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/trades_100ms, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_trades_100ms.trades_100ms LIMIT 10, or just FROM trades_100ms where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_trades_100ms;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_trades_100ms".main';

CREATE OR REPLACE VIEW compiled_trades_100ms."input (once)" AS
SELECT
    *,
    row_number() OVER () AS input_row
FROM (
    WITH files_before AS (
        SELECT
            file_name AS filename,
            CAST(coalesce(sum(num_rows) OVER (
                PARTITION BY regexp_extract_all(file_name, '/(exchange|symbol|date|year|month|day)=[^/]*')
                ORDER BY TRY_CAST(regexp_extract(file_name, '/hour=([0-9]+)/', 1) AS INTEGER), regexp_replace(
                    regexp_replace(file_name, '([0-9]+)', '00000000000000000000\1', 'g'),
                    '0*([0-9]{20})', '\1', 'g'
                ), file_name
                ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING
            ), 0) AS BIGINT) AS rows_before
        FROM parquet_file_metadata([
            'lake/raw/ccxt/trades/**/[!_.]*.parquet'
        ])
    ),
    numbered AS (
        SELECT
            exchange,
            symbol,
            date,
            CASE
                WHEN coalesce(timestamp, collected_at) BETWEEN 631152000000 AND 4102444800000
                THEN make_timestamp_ns(1000000 * coalesce(timestamp, collected_at))
                WHEN coalesce(timestamp, collected_at) BETWEEN 631152000 AND 4102444800
                  OR coalesce(timestamp, collected_at) BETWEEN 631152000000000 AND 4102444800000000
                  OR coalesce(timestamp, collected_at) BETWEEN 631152000000000000 AND 4102444800000000000
                THEN CAST(error(
                    'time ' || coalesce(timestamp, collected_at) || ' is not in ms since 1970 but in '
                    || ['s', 'ms', 'us', 'ns'][length(CAST(coalesce(timestamp, collected_at) AS VARCHAR)) // 3 - 2]
                ) AS TIMESTAMP_NS)
            END AS ts,
            file_row_number + rows_before AS seq,
            CAST(timestamp AS BIGINT) AS timestamp,
            CAST(collected_at AS BIGINT) AS collected_at,
            CAST(trade_id AS VARCHAR) AS trade_id,
            CAST(price AS DOUBLE) AS price,
            CAST(amount AS DOUBLE) AS amount,
            CAST(side AS VARCHAR) AS side
        FROM read_parquet(
            [
                'lake/raw/ccxt/trades/**/[!_.]*.parquet'
            ],
            union_by_name = true,
            hive_partitioning = true,
            hive_types = {'exchange': VARCHAR, 'symbol': VARCHAR, 'date': DATE}
        )
        JOIN files_before USING (filename)
    ),
    positioned AS (
        SELECT *
        FROM numbered
        WHERE CAST(ts AS TIMESTAMP) BETWEEN date - INTERVAL 86400 SECONDS AND date + INTERVAL 172800 SECONDS
    )
    SELECT
        exchange,
        symbol,
        date,
        ts,
        seq,
        trade_id, -- name: as the venue names the trade
        CASE WHEN price > 0 AND isfinite(price) THEN price END AS price, -- q: price of the trade
        CASE WHEN amount > 0 AND isfinite(amount) THEN amount END AS amount, -- u: size of the trade
        CAST(
            CASE WHEN lower(exchange) IN ('coinbase', 'coinbaseadvanced') THEN -1 ELSE 1 END
            * (CASE lower(side) WHEN 'buy' THEN 1 WHEN 'sell' THEN -1 END) AS SMALLINT
        ) AS side -- 1: 1 where the taker bought, -1 where the taker sold, NULL where unknown
    FROM positioned
);

CREATE OR REPLACE TABLE compiled_trades_100ms.input AS
FROM compiled_trades_100ms."input (once)";

-- Rows in the order of their times, whatever date they are filed under, with the grid point that closes their interval.
CREATE OR REPLACE VIEW compiled_trades_100ms.timed AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    input_row,
    amount,
    price,
    epoch_ns(ts) AS ns,
    (ns + 100000000 - 1) // 100000000 * 100000000 AS point_ns,
    row_number() OVER (PARTITION BY exchange, symbol ORDER BY ts, date, seq, input_row) AS place
FROM input;

-- Grid points with a row in their interval, (point - 0.1 s, point].
CREATE OR REPLACE VIEW compiled_trades_100ms.points AS
SELECT
    exchange,
    symbol,
    point_ns,
    count(*) AS snapshot_count,
    arg_max(input_row, place) AS last_row,
    sum(amount) AS sum_amount,
    count(price) AS count_price,
    max(ns) AS last_ns
FROM timed
GROUP BY exchange, symbol, point_ns;

CREATE OR REPLACE VIEW compiled_trades_100ms.held AS
SELECT
    *,
    CAST(make_timestamp_ns(point_ns) AS DATE) AS date,
    point_ns AS grid_ns
FROM points
QUALIFY point_ns <= max(last_ns) OVER (PARTITION BY exchange, symbol);

CREATE OR REPLACE VIEW compiled_trades_100ms.aged AS
SELECT
    *,
    (grid_ns - last_ns) / 1e9 AS data_staleness,
    data_staleness > 60.0 AS is_stale
FROM held;

CREATE OR REPLACE VIEW compiled_trades_100ms.trades_100ms AS
SELECT
    aged.exchange,
    aged.symbol,
    aged.date, -- UTC: date of ts
    make_timestamp_ns(aged.grid_ns) AS ts, -- UTC, ns: the grid point
    row_number() OVER (PARTITION BY aged.exchange, aged.symbol, aged.date ORDER BY aged.grid_ns) - 1
        AS seq, -- 1: position of the point in its partition
    make_timestamp_ns(aged.last_ns) AS original_timestamp, -- UTC, ns: time of the last row
    aged.data_staleness, -- s: from the last row to the grid point
    aged.snapshot_count, -- 1: rows in the interval
    aged.is_stale, -- flag: the last row is more than 60 s old
    input.* EXCLUDE (exchange, symbol, date, ts, seq, input_row),
    aged.sum_amount, -- sum of amount in the interval
    aged.count_price -- 1: number of values of price in the interval
FROM aged
LEFT JOIN input
    ON aged.last_row = input.input_row
ORDER BY aged.exchange, aged.symbol, aged.grid_ns;

COPY (
    FROM compiled_trades_100ms.trades_100ms
) TO 'target/tables/trades_100ms' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
