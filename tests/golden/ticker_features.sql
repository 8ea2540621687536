-- model:       ticker_features
-- description: Features per ticker, with rolling windows
-- template:    ticker/features.sql.j2
-- inputs:      ticker = ccxt_ticker
-- options:     windows = [60, 300, 900]
--              max_gap = 300
-- lookback:    1200 s
-- publishes:   processed/ccxt/ticker/features (overwrite), by exchange, symbol, date
-- fingerprint: 2c5d4b8957cb2eec98b62c70
-- stages:      ticker_features, line 172
--              frames, line 155
--              aged, line 148
--              segments, line 140
--              gaps, line 131
--              ordered, line 122
--              quotes, line 114
--              ticker, line 28
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/ticker_features, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_ticker_features.ticker_features LIMIT 10, or just FROM ticker_features where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_ticker_features;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_ticker_features".main';

CREATE OR REPLACE VIEW compiled_ticker_features.ticker AS
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
        'lake/raw/ccxt/ticker/**/[!_.]*.parquet'
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
        CAST(bid AS DOUBLE) AS bid,
        CAST(ask AS DOUBLE) AS ask,
        CAST(last AS DOUBLE) AS last,
        CAST(open AS DOUBLE) AS open,
        CAST(high AS DOUBLE) AS high,
        CAST(low AS DOUBLE) AS low,
        CAST(close AS DOUBLE) AS close,
        CAST(vwap AS DOUBLE) AS vwap,
        CAST(bid_volume AS DOUBLE) AS bid_volume,
        CAST(ask_volume AS DOUBLE) AS ask_volume,
        CAST(base_volume AS DOUBLE) AS base_volume,
        CAST(quote_volume AS DOUBLE) AS quote_volume,
        CAST(change AS DOUBLE) AS change,
        CAST(percentage AS DOUBLE) AS percentage
    FROM read_parquet(
        [
            'lake/raw/ccxt/ticker/**/[!_.]*.parquet'
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
    CASE WHEN bid > 0 AND isfinite(bid) THEN bid END AS bid,
    CASE WHEN ask > 0 AND isfinite(ask) THEN ask END AS ask,
    CASE WHEN bid_volume > 0 AND isfinite(bid_volume) THEN bid_volume END AS bid_volume,
    CASE WHEN ask_volume > 0 AND isfinite(ask_volume) THEN ask_volume END AS ask_volume,
    CASE WHEN last > 0 AND isfinite(last) THEN last END AS last,
    CASE WHEN open > 0 AND isfinite(open) THEN open END AS open,
    CASE WHEN high > 0 AND isfinite(high) THEN high END AS high,
    CASE WHEN low > 0 AND isfinite(low) THEN low END AS low,
    CASE WHEN close > 0 AND isfinite(close) THEN close END AS close,
    CASE WHEN vwap > 0 AND isfinite(vwap) THEN vwap END AS vwap,
    CASE WHEN base_volume >= 0 AND isfinite(base_volume) THEN base_volume END AS base_volume,
    CASE WHEN quote_volume >= 0 AND isfinite(quote_volume) THEN quote_volume END AS quote_volume,
    CASE WHEN isfinite(change) THEN change END AS change,
    CASE WHEN isfinite(percentage) THEN percentage END AS percentage
FROM positioned;

CREATE OR REPLACE VIEW compiled_ticker_features.quotes AS
SELECT
    *,
    CASE WHEN ask >= bid THEN (bid + ask) / 2 END AS mid_price,
    ask - bid AS spread,
    (bid_volume - ask_volume) / nullif(bid_volume + ask_volume, 0) AS volume_imbalance
FROM ticker;

CREATE OR REPLACE VIEW compiled_ticker_features.ordered AS
SELECT
    *,
    epoch_ns(ts) AS ns,
    row_number() OVER in_order AS row_place,
    lag(ns) OVER in_order AS before_ns
FROM quotes
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY date, ts, seq);

CREATE OR REPLACE VIEW compiled_ticker_features.gaps AS
SELECT
    *,
    max(CASE WHEN before_ns - ns BETWEEN 1 AND 1000000000 THEN before_ns END)
        OVER (PARTITION BY exchange, symbol, date) AS late_until,
    coalesce(ns < late_until, false) AS is_late,
    NOT is_late AND coalesce(before_ns - ns > 1000000000 OR ns - greatest(before_ns, late_until) > 300000000000, FALSE) AS after_gap
FROM ordered;

CREATE OR REPLACE VIEW compiled_ticker_features.segments AS
SELECT
    *,
    count(CASE WHEN NOT is_late THEN true END) OVER so_far AS place, -- BIGINT, where a sum would be HUGEINT
    CASE WHEN is_late THEN -row_place ELSE count(CASE WHEN after_gap THEN true END) OVER so_far END AS segment
FROM gaps
WINDOW so_far AS (PARTITION BY exchange, symbol ORDER BY row_place ROWS UNBOUNDED PRECEDING);

CREATE OR REPLACE VIEW compiled_ticker_features.aged AS
SELECT
    *,
    (ns - first_value(ns) OVER in_order) / 1e9 AS age_s
FROM segments
WINDOW in_order AS (PARTITION BY exchange, symbol, segment ORDER BY place);

CREATE OR REPLACE VIEW compiled_ticker_features.frames AS
SELECT
    *,
    place - min(place) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 60000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_60s,
    place - min(place) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 300000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_300s,
    place - min(place) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 900000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_900s
FROM aged;

CREATE OR REPLACE VIEW compiled_ticker_features.ticker_features AS
SELECT
    exchange,
    symbol,
    date,
    ts, -- UTC, ns: exchange time, else time of collection
    seq, -- 1: position of the row in its partition, in file order
    least(age_s, greatest(ns - epoch_ns(date), 0) / 1e9 + 900)
        AS segment_age_s, -- s: since the segment started, as far back as the longest window before the date
    CAST(hour(ts) AS SMALLINT) AS hour_of_day, -- h: 0 to 23, UTC
    CAST(minute(ts) AS SMALLINT) AS minute_of_hour, -- min: 0 to 59, UTC
    CAST(isodow(ts) - 1 AS SMALLINT) AS day_of_week, -- 1: 0 is Monday, 6 is Sunday, UTC
    isodow(ts) >= 6 AS is_weekend, -- flag: Saturday or Sunday, UTC
    bid, -- q: best bid
    ask, -- q: best ask
    bid_volume, -- u: size at the best bid
    ask_volume, -- u: size at the best ask
    last, -- q: price of the last trade
    mid_price, -- q: (bid + ask) / 2, NULL where crossed
    spread, -- q: ask - bid, negative where crossed
    CASE WHEN mid_price > 0 THEN spread / mid_price END AS relative_spread, -- 1: spread / mid_price
    volume_imbalance, -- 1: (bid_volume - ask_volume) / (bid_volume + ask_volume), -1 to 1
    high - low AS range_24h, -- q: high - low of the last 24 h
    CASE WHEN low > 0 THEN 100 * (high - low) / low END AS range_24h_pct, -- %: 100 * range_24h / low of the last 24 h
    avg(mid_price) OVER last_60s AS mid_price_mean_60s, -- q: mean of mid_price over 60 s
    stddev_samp(mid_price) OVER last_60s AS mid_price_std_60s, -- q: sample standard deviation of mid_price over 60 s
    avg(spread) OVER last_60s AS spread_mean_60s, -- q: mean of spread over 60 s
    avg(volume_imbalance) OVER last_60s
        AS vol_imbalance_mean_60s, -- 1: mean of volume_imbalance over 60 s, -1 to 1
    avg(mid_price) OVER last_300s AS mid_price_mean_300s, -- q: mean of mid_price over 300 s
    stddev_samp(mid_price) OVER last_300s AS mid_price_std_300s, -- q: sample standard deviation of mid_price over 300 s
    avg(spread) OVER last_300s AS spread_mean_300s, -- q: mean of spread over 300 s
    avg(volume_imbalance) OVER last_300s
        AS vol_imbalance_mean_300s, -- 1: mean of volume_imbalance over 300 s, -1 to 1
    avg(mid_price) OVER last_900s AS mid_price_mean_900s, -- q: mean of mid_price over 900 s
    stddev_samp(mid_price) OVER last_900s AS mid_price_std_900s, -- q: sample standard deviation of mid_price over 900 s
    avg(spread) OVER last_900s AS spread_mean_900s, -- q: mean of spread over 900 s
    avg(volume_imbalance) OVER last_900s
        AS vol_imbalance_mean_900s -- 1: mean of volume_imbalance over 900 s, -1 to 1
FROM frames
WINDOW
    last_60s AS (
        PARTITION BY exchange, symbol, segment ORDER BY place
        ROWS BETWEEN rows_60s PRECEDING AND CURRENT ROW
    ),
    last_300s AS (
        PARTITION BY exchange, symbol, segment ORDER BY place
        ROWS BETWEEN rows_300s PRECEDING AND CURRENT ROW
    ),
    last_900s AS (
        PARTITION BY exchange, symbol, segment ORDER BY place
        ROWS BETWEEN rows_900s PRECEDING AND CURRENT ROW
    )
ORDER BY exchange, symbol, ts, seq;

COPY (
    FROM compiled_ticker_features.ticker_features
) TO 'target/tables/ticker_features' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
