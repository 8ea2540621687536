-- model:       orderbook_bars
-- description: Time bars from the order book's mid price
-- template:    orderbook/bars.sql.j2
-- inputs:      hf = orderbook_hf
-- options:     bar_durations = [60, 300, 900, 3600]
--              max_gap = 300
--              seconds_per_year = 31536000
--              order_flow = True
--              fill = False
--              emit_open_bars = False
-- lookback:    300 s
-- lookahead:   3600 s
-- publishes:   processed/ccxt/orderbook/bars (overwrite), by exchange, symbol, date
-- fingerprint: c6ba6a0656025ed74c1ad1da
-- stages:      orderbook_bars, line 137
--              bars, line 131
--              seen, line 104
--              binned, line 97
--              steps, line 85
--              segments, line 77
--              gaps, line 68
--              snapshots, line 47
--              hf, line 34
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/orderbook_bars, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_orderbook_bars.orderbook_bars LIMIT 10, or just FROM orderbook_bars where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_orderbook_bars;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_orderbook_bars".main';

CREATE OR REPLACE VIEW compiled_orderbook_bars.hf AS
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
);

CREATE OR REPLACE VIEW compiled_orderbook_bars.snapshots AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    mid_price,
    spread,
    relative_spread,
    imbalance_top1,
    total_imbalance,
    microprice,
    micro_minus_mid,
    total_bid_depth,
    total_ask_depth,
    smart_depth_imbalance,
    ofi,
    mlofi
FROM hf;

CREATE OR REPLACE VIEW compiled_orderbook_bars.gaps AS
SELECT
    *,
    epoch_ns(ts) AS ns,
    row_number() OVER in_order AS place,
    coalesce(ns - lag(ns) OVER in_order > 300000000000, FALSE) AS after_gap
FROM snapshots
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq);

CREATE OR REPLACE VIEW compiled_orderbook_bars.segments AS
SELECT
    *,
    count(CASE WHEN after_gap THEN true END) OVER (
        PARTITION BY exchange, symbol ORDER BY place ROWS UNBOUNDED PRECEDING
    ) AS segment
FROM gaps;

CREATE OR REPLACE VIEW compiled_orderbook_bars.steps AS
SELECT
    *,
    CASE
        WHEN ns - lag(CASE WHEN mid_price IS NOT NULL THEN ns END IGNORE NULLS) OVER in_order <= 300000000000
            AND mid_price > 0
            AND lag(mid_price IGNORE NULLS) OVER in_order > 0
        THEN ln(mid_price / lag(mid_price IGNORE NULLS) OVER in_order)
    END AS step_return
FROM segments
WINDOW in_order AS (PARTITION BY exchange, symbol, segment ORDER BY place);

CREATE OR REPLACE VIEW compiled_orderbook_bars.binned AS
SELECT
    *,
    ns - ns % (bar_seconds * 1000000000) AS start_ns
FROM steps
CROSS JOIN (SELECT unnest([60, 300, 900, 3600]::BIGINT[]) AS bar_seconds) AS durations;

CREATE OR REPLACE VIEW compiled_orderbook_bars.seen AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    arg_min(mid_price, place) AS open,
    max(mid_price) AS high,
    min(mid_price) AS low,
    arg_max(mid_price, place) AS close,
    sum(step_return * step_return) AS realized_variance,
    bool_or(after_gap) AS has_gap,
    max(ns) AS last_ns,
    count(*) AS snapshot_count,
    avg(spread) AS mean_spread,
    min(spread) AS min_spread,
    max(spread) AS max_spread,
    sum(ofi) AS sum_ofi,
    sum(mlofi) AS sum_mlofi,
    avg(relative_spread) AS mean_relative_spread,
    avg(imbalance_top1) AS mean_imbalance_top1,
    avg(total_imbalance) AS mean_total_imbalance,
    avg(microprice) AS mean_microprice,
    avg(micro_minus_mid) AS mean_micro_minus_mid,
    avg(total_bid_depth) AS mean_total_bid_depth,
    avg(total_ask_depth) AS mean_total_ask_depth,
    avg(smart_depth_imbalance) AS mean_smart_depth_imbalance
FROM binned
GROUP BY exchange, symbol, bar_seconds, start_ns;

CREATE OR REPLACE VIEW compiled_orderbook_bars.bars AS
SELECT
    *,
    CAST(make_timestamp_ns(start_ns) AS DATE) AS date
FROM seen;

CREATE OR REPLACE VIEW compiled_orderbook_bars.orderbook_bars AS
SELECT
    exchange,
    symbol,
    date, -- UTC: date of bar_start
    bar_seconds, -- s: length of the bar
    make_timestamp_ns(start_ns) AS bar_start, -- UTC, ns: start of the bar, inclusive
    make_timestamp_ns(start_ns + bar_seconds * 1000000000) AS bar_end, -- UTC, ns: end, exclusive; known from then on
    open, -- q: first mid_price
    high, -- q: highest mid_price
    low, -- q: lowest mid_price
    close, -- q: last mid_price
    coalesce(snapshot_count, 0) AS snapshot_count, -- 1: snapshots in the bar
    mean_spread, -- q: mean of spread
    min_spread, -- q: least spread
    max_spread, -- q: greatest spread
    mean_relative_spread, -- 1: mean of relative_spread
    mean_imbalance_top1, -- 1: mean of imbalance_top1
    mean_total_imbalance, -- 1: mean of total_imbalance
    mean_microprice, -- q: mean of microprice
    mean_micro_minus_mid, -- q: mean of micro_minus_mid
    mean_total_bid_depth, -- u: mean of total_bid_depth
    mean_total_ask_depth, -- u: mean of total_ask_depth
    mean_smart_depth_imbalance, -- 1: mean of smart_depth_imbalance
    sum_ofi, -- u: sum of ofi, each credited to the later row [Cont 2014]
    sum_mlofi, -- u: sum of mlofi, each credited to the later row [cf. Xu 2019]
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
    FROM compiled_orderbook_bars.orderbook_bars
) TO 'target/tables/orderbook_bars' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
