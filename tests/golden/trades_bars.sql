-- model:       trades_bars
-- description: Time bars from trades
-- template:    trades/bars.sql.j2
-- inputs:      trades = ccxt_trades
-- options:     bar_durations = [60, 300, 900, 3600]
--              max_gap = None
--              seconds_per_year = 31536000
--              fill = False
--              emit_open_bars = False
-- lookback:    86400 s
-- lookahead:   3600 s
-- publishes:   processed/ccxt/trades/bars (overwrite), by exchange, symbol, date
-- fingerprint: 3bc23551aff04a14c5d5ecb2
-- stages:      trades_bars, line 166
--              bars, line 160
--              seen, line 141
--              binned, line 134
--              steps, line 122
--              segments, line 116
--              gaps, line 107
--              valid, line 102
--              trades, line 33
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/trades_bars, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_trades_bars.trades_bars LIMIT 10, or just FROM trades_bars where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_trades_bars;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_trades_bars".main';

CREATE OR REPLACE VIEW compiled_trades_bars.trades AS
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
FROM positioned;

CREATE OR REPLACE VIEW compiled_trades_bars.valid AS
SELECT *
FROM trades
WHERE price IS NOT NULL AND amount IS NOT NULL;

CREATE OR REPLACE VIEW compiled_trades_bars.gaps AS
SELECT
    *,
    epoch_ns(ts) AS ns,
    row_number() OVER in_order AS place,
    false AS after_gap
FROM valid
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq);

CREATE OR REPLACE VIEW compiled_trades_bars.segments AS
SELECT
    *,
    0 AS segment
FROM gaps;

CREATE OR REPLACE VIEW compiled_trades_bars.steps AS
SELECT
    *,
    CASE
        WHEN epoch_ns(CAST(ts AS DATE) - 1) <= lag(CASE WHEN price IS NOT NULL THEN ns END IGNORE NULLS) OVER in_order
            AND price > 0
            AND lag(price IGNORE NULLS) OVER in_order > 0
        THEN ln(price / lag(price IGNORE NULLS) OVER in_order)
    END AS step_return
FROM segments
WINDOW in_order AS (PARTITION BY exchange, symbol, segment ORDER BY place);

CREATE OR REPLACE VIEW compiled_trades_bars.binned AS
SELECT
    *,
    ns - ns % (bar_seconds * 1000000000) AS start_ns
FROM steps
CROSS JOIN (SELECT unnest([60, 300, 900, 3600]::BIGINT[]) AS bar_seconds) AS durations;

CREATE OR REPLACE VIEW compiled_trades_bars.seen AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    arg_min(price, place) AS open,
    max(price) AS high,
    min(price) AS low,
    arg_max(price, place) AS close,
    sum(step_return * step_return) AS realized_variance,
    bool_or(after_gap) AS has_gap,
    max(ns) AS last_ns,
    sum(amount) AS volume,
    sum(price * amount) AS dollar_volume,
    count(*) AS trade_count,
    coalesce(sum(amount) FILTER (side = 1), 0) AS buy_volume,
    coalesce(sum(amount) FILTER (side = -1), 0) AS sell_volume,
    sum(amount) FILTER (side IS NULL) AS unknown_volume
FROM binned
GROUP BY exchange, symbol, bar_seconds, start_ns;

CREATE OR REPLACE VIEW compiled_trades_bars.bars AS
SELECT
    *,
    CAST(make_timestamp_ns(start_ns) AS DATE) AS date
FROM seen;

CREATE OR REPLACE VIEW compiled_trades_bars.trades_bars AS
SELECT
    exchange,
    symbol,
    date, -- UTC: date of bar_start
    bar_seconds, -- s: length of the bar
    make_timestamp_ns(start_ns) AS bar_start, -- UTC, ns: start of the bar, inclusive
    make_timestamp_ns(start_ns + bar_seconds * 1000000000) AS bar_end, -- UTC, ns: end, exclusive; known from then on
    open, -- q: first price
    high, -- q: highest price
    low, -- q: lowest price
    close, -- q: last price
    coalesce(volume, 0) AS volume, -- u: sum of the sizes of the trades
    coalesce(dollar_volume, 0) AS dollar_volume, -- q*u: sum of price * size
    coalesce(trade_count, 0) AS trade_count, -- 1: trades with a valid price and size
    coalesce(buy_volume, 0) AS buy_volume, -- u: volume that takers bought
    coalesce(sell_volume, 0) AS sell_volume, -- u: volume that takers sold
    coalesce(unknown_volume, 0) AS unknown_volume, -- u: volume of unknown side
    bars.dollar_volume / nullif(bars.volume, 0) AS vwap, -- q: dollar_volume / volume
    (bars.buy_volume - bars.sell_volume) / nullif(bars.buy_volume + bars.sell_volume, 0)
        AS tfi, -- 1: (buy_volume - sell_volume) / (buy_volume + sell_volume), -1 to 1
    realized_variance, -- 1: sum of squared log returns, each credited to the later row
    CASE WHEN open > 0 THEN (close - open) / open END AS "return", -- 1: (close - open) / open
    CASE WHEN close > 0 AND open > 0 THEN ln(close / open) END AS log_return, -- 1: ln(close / open)
    CASE WHEN open > 0 THEN (high - low) / open END AS "range", -- 1: (high - low) / open
    sqrt(realized_variance * 31536000 / bar_seconds) AS annualized_vol, -- 1: sqrt(realized_variance * seconds_per_year / bar_seconds)
    has_gap -- flag: a row of the bar comes more than max_gap after the row before it
FROM bars
QUALIFY start_ns + bar_seconds * 1000000000 <= max(last_ns) OVER (PARTITION BY exchange, symbol)
ORDER BY exchange, symbol, bar_seconds, bar_start;

COPY (
    FROM compiled_trades_bars.trades_bars
) TO 'target/tables/trades_bars' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
