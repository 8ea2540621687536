-- model:       orderbook_labels
-- description: Forward returns, directions and first barriers per order book snapshot
-- template:    orderbook/labels.sql.j2
-- inputs:      orderbook = ccxt_orderbook
-- options:     barrier_horizon = 300.0
--              horizons = [1, 5, 60, 300]
--              smooth_rows = [10, 20, 50]
--              alpha_bps = 1.0
--              upper = 10.0
--              lower = 10.0
--              barrier_unit = 'bps'
--              sigma_window = 300
--              max_gap = 300.0
-- lookback:    15000 s
-- lookahead:   15301 s
-- publishes:   processed/ccxt/orderbook/labels (overwrite), by exchange, symbol, date
-- fingerprint: 938323d9d2891696bb3116b5
-- stages:      kernel_input, line 455
--              returns, line 432
--              means, line 411
--              framed, line 402
--              steps, line 390
--              after_300s, line 382
--              after_60s, line 374
--              after_5s, line 366
--              after_1s, line 358
--              quotes, line 351
--              located, line 342
--              ends, line 327
--              states, line 310
--              book, line 42
--
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_orderbook_labels.kernel_input LIMIT 10, or just FROM kernel_input where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_orderbook_labels;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_orderbook_labels".main';

CREATE OR REPLACE VIEW compiled_orderbook_labels.book AS
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
        'lake/raw/ccxt/orderbook/**/[!_.]*.parquet'
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
        CAST(bids AS STRUCT(price DOUBLE, size DOUBLE)[]) AS bids,
        CAST(asks AS STRUCT(price DOUBLE, size DOUBLE)[]) AS asks
    FROM read_parquet(
        [
            'lake/raw/ccxt/orderbook/**/[!_.]*.parquet'
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
),
as_sent AS (
    SELECT
        *,
        bids[1].price AS bid_price_00, bids[1].size AS bid_size_00, asks[1].price AS ask_price_00,
        asks[1].size AS ask_size_00, bids[2].price AS bid_price_01, bids[2].size AS bid_size_01,
        asks[2].price AS ask_price_01, asks[2].size AS ask_size_01, bids[3].price AS bid_price_02,
        bids[3].size AS bid_size_02, asks[3].price AS ask_price_02, asks[3].size AS ask_size_02,
        bids[4].price AS bid_price_03, bids[4].size AS bid_size_03, asks[4].price AS ask_price_03,
        asks[4].size AS ask_size_03, bids[5].price AS bid_price_04, bids[5].size AS bid_size_04,
        asks[5].price AS ask_price_04, asks[5].size AS ask_size_04, bids[6].price AS bid_price_05,
        bids[6].size AS bid_size_05, asks[6].price AS ask_price_05, asks[6].size AS ask_size_05,
        bids[7].price AS bid_price_06, bids[7].size AS bid_size_06, asks[7].price AS ask_price_06,
        asks[7].size AS ask_size_06, bids[8].price AS bid_price_07, bids[8].size AS bid_size_07,
        asks[8].price AS ask_price_07, asks[8].size AS ask_size_07, bids[9].price AS bid_price_08,
        bids[9].size AS bid_size_08, asks[9].price AS ask_price_08, asks[9].size AS ask_size_08,
        bids[10].price AS bid_price_09, bids[10].size AS bid_size_09, asks[10].price AS ask_price_09,
        asks[10].size AS ask_size_09, bids[11].price AS bid_price_10, bids[11].size AS bid_size_10,
        asks[11].price AS ask_price_10, asks[11].size AS ask_size_10, bids[12].price AS bid_price_11,
        bids[12].size AS bid_size_11, asks[12].price AS ask_price_11, asks[12].size AS ask_size_11,
        bids[13].price AS bid_price_12, bids[13].size AS bid_size_12, asks[13].price AS ask_price_12,
        asks[13].size AS ask_size_12, bids[14].price AS bid_price_13, bids[14].size AS bid_size_13,
        asks[14].price AS ask_price_13, asks[14].size AS ask_size_13, bids[15].price AS bid_price_14,
        bids[15].size AS bid_size_14, asks[15].price AS ask_price_14, asks[15].size AS ask_size_14,
        bids[16].price AS bid_price_15, bids[16].size AS bid_size_15, asks[16].price AS ask_price_15,
        asks[16].size AS ask_size_15, bids[17].price AS bid_price_16, bids[17].size AS bid_size_16,
        asks[17].price AS ask_price_16, asks[17].size AS ask_size_16, bids[18].price AS bid_price_17,
        bids[18].size AS bid_size_17, asks[18].price AS ask_price_17, asks[18].size AS ask_size_17,
        bids[19].price AS bid_price_18, bids[19].size AS bid_size_18, asks[19].price AS ask_price_18,
        asks[19].size AS ask_size_18, bids[20].price AS bid_price_19, bids[20].size AS bid_size_19,
        asks[20].price AS ask_price_19, asks[20].size AS ask_size_19
    FROM positioned
),
checked AS (
    SELECT
        *,
        CASE
            WHEN len(bids) = 20 THEN coalesce(
                bid_price_19 > 0
                AND bid_price_01 < bid_price_00 AND bid_price_02 < bid_price_01 AND bid_price_03 < bid_price_02
                AND bid_price_04 < bid_price_03 AND bid_price_05 < bid_price_04 AND bid_price_06 < bid_price_05
                AND bid_price_07 < bid_price_06 AND bid_price_08 < bid_price_07 AND bid_price_09 < bid_price_08
                AND bid_price_10 < bid_price_09 AND bid_price_11 < bid_price_10 AND bid_price_12 < bid_price_11
                AND bid_price_13 < bid_price_12 AND bid_price_14 < bid_price_13 AND bid_price_15 < bid_price_14
                AND bid_price_16 < bid_price_15 AND bid_price_17 < bid_price_16 AND bid_price_18 < bid_price_17
                AND bid_price_19 < bid_price_18 AND bid_size_00 > 0 AND bid_size_01 > 0 AND bid_size_02 > 0 AND bid_size_03 > 0
                AND bid_size_04 > 0 AND bid_size_05 > 0 AND bid_size_06 > 0 AND bid_size_07 > 0 AND bid_size_08 > 0
                AND bid_size_09 > 0 AND bid_size_10 > 0 AND bid_size_11 > 0 AND bid_size_12 > 0 AND bid_size_13 > 0
                AND bid_size_14 > 0 AND bid_size_15 > 0 AND bid_size_16 > 0 AND bid_size_17 > 0 AND bid_size_18 > 0
                AND bid_size_19 > 0
                AND isfinite(bid_price_00 + bid_price_01 + bid_price_02 + bid_price_03 + bid_price_04
                + bid_price_05 + bid_price_06 + bid_price_07 + bid_price_08 + bid_price_09
                + bid_price_10 + bid_price_11 + bid_price_12 + bid_price_13 + bid_price_14
                + bid_price_15 + bid_price_16 + bid_price_17 + bid_price_18 + bid_price_19)
                AND isfinite(bid_size_00 + bid_size_01 + bid_size_02 + bid_size_03 + bid_size_04
                + bid_size_05 + bid_size_06 + bid_size_07 + bid_size_08 + bid_size_09
                + bid_size_10 + bid_size_11 + bid_size_12 + bid_size_13 + bid_size_14
                + bid_size_15 + bid_size_16 + bid_size_17 + bid_size_18 + bid_size_19),
                false
            )
            ELSE coalesce(
                len(list_filter(bids, lambda x, i:
                    x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
                    AND (i = 1 OR x.price < bids[i - 1].price)
                )) = len(bids),
                false
            )
        END AS bids_in_order,
        CASE
            WHEN len(asks) = 20 THEN coalesce(
                ask_price_00 > 0
                AND ask_price_01 > ask_price_00 AND ask_price_02 > ask_price_01 AND ask_price_03 > ask_price_02
                AND ask_price_04 > ask_price_03 AND ask_price_05 > ask_price_04 AND ask_price_06 > ask_price_05
                AND ask_price_07 > ask_price_06 AND ask_price_08 > ask_price_07 AND ask_price_09 > ask_price_08
                AND ask_price_10 > ask_price_09 AND ask_price_11 > ask_price_10 AND ask_price_12 > ask_price_11
                AND ask_price_13 > ask_price_12 AND ask_price_14 > ask_price_13 AND ask_price_15 > ask_price_14
                AND ask_price_16 > ask_price_15 AND ask_price_17 > ask_price_16 AND ask_price_18 > ask_price_17
                AND ask_price_19 > ask_price_18 AND ask_size_00 > 0 AND ask_size_01 > 0 AND ask_size_02 > 0 AND ask_size_03 > 0
                AND ask_size_04 > 0 AND ask_size_05 > 0 AND ask_size_06 > 0 AND ask_size_07 > 0 AND ask_size_08 > 0
                AND ask_size_09 > 0 AND ask_size_10 > 0 AND ask_size_11 > 0 AND ask_size_12 > 0 AND ask_size_13 > 0
                AND ask_size_14 > 0 AND ask_size_15 > 0 AND ask_size_16 > 0 AND ask_size_17 > 0 AND ask_size_18 > 0
                AND ask_size_19 > 0
                AND isfinite(ask_price_00 + ask_price_01 + ask_price_02 + ask_price_03 + ask_price_04
                + ask_price_05 + ask_price_06 + ask_price_07 + ask_price_08 + ask_price_09
                + ask_price_10 + ask_price_11 + ask_price_12 + ask_price_13 + ask_price_14
                + ask_price_15 + ask_price_16 + ask_price_17 + ask_price_18 + ask_price_19)
                AND isfinite(ask_size_00 + ask_size_01 + ask_size_02 + ask_size_03 + ask_size_04
                + ask_size_05 + ask_size_06 + ask_size_07 + ask_size_08 + ask_size_09
                + ask_size_10 + ask_size_11 + ask_size_12 + ask_size_13 + ask_size_14
                + ask_size_15 + ask_size_16 + ask_size_17 + ask_size_18 + ask_size_19),
                false
            )
            ELSE coalesce(
                len(list_filter(asks, lambda x, i:
                    x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
                    AND (i = 1 OR x.price > asks[i - 1].price)
                )) = len(asks),
                false
            )
        END AS asks_in_order
    FROM as_sent
),
cleaned AS (
    SELECT
        *,
        CASE WHEN NOT bids_in_order THEN list_transform(
            list_reverse_sort(list_distinct([
                x.price FOR x IN bids
                IF x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
            ]))[:20],
            lambda p: {
                'price': p,
                'size': list_sum([x.size FOR x IN bids IF x.price = p AND x.size > 0 AND isfinite(x.size)])
            }
        ) END AS clean_bids,
        CASE WHEN NOT asks_in_order THEN list_transform(
            list_sort(list_distinct([
                x.price FOR x IN asks
                IF x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
            ]))[:20],
            lambda p: {
                'price': p,
                'size': list_sum([x.size FOR x IN asks IF x.price = p AND x.size > 0 AND isfinite(x.size)])
            }
        ) END AS clean_asks
    FROM checked
)
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    CAST(CASE WHEN bids_in_order THEN least(len(bids), 20) ELSE len(clean_bids) END AS SMALLINT) AS bid_levels,
    CAST(CASE WHEN asks_in_order THEN least(len(asks), 20) ELSE len(clean_asks) END AS SMALLINT) AS ask_levels,
    CASE WHEN bids_in_order THEN bid_price_00 ELSE clean_bids[1].price END AS bid_price_00,
    CASE WHEN bids_in_order THEN bid_size_00 ELSE clean_bids[1].size END AS bid_size_00,
    CASE WHEN asks_in_order THEN ask_price_00 ELSE clean_asks[1].price END AS ask_price_00,
    CASE WHEN asks_in_order THEN ask_size_00 ELSE clean_asks[1].size END AS ask_size_00,
    CASE WHEN bids_in_order THEN bid_price_01 ELSE clean_bids[2].price END AS bid_price_01,
    CASE WHEN bids_in_order THEN bid_size_01 ELSE clean_bids[2].size END AS bid_size_01,
    CASE WHEN asks_in_order THEN ask_price_01 ELSE clean_asks[2].price END AS ask_price_01,
    CASE WHEN asks_in_order THEN ask_size_01 ELSE clean_asks[2].size END AS ask_size_01,
    CASE WHEN bids_in_order THEN bid_price_02 ELSE clean_bids[3].price END AS bid_price_02,
    CASE WHEN bids_in_order THEN bid_size_02 ELSE clean_bids[3].size END AS bid_size_02,
    CASE WHEN asks_in_order THEN ask_price_02 ELSE clean_asks[3].price END AS ask_price_02,
    CASE WHEN asks_in_order THEN ask_size_02 ELSE clean_asks[3].size END AS ask_size_02,
    CASE WHEN bids_in_order THEN bid_price_03 ELSE clean_bids[4].price END AS bid_price_03,
    CASE WHEN bids_in_order THEN bid_size_03 ELSE clean_bids[4].size END AS bid_size_03,
    CASE WHEN asks_in_order THEN ask_price_03 ELSE clean_asks[4].price END AS ask_price_03,
    CASE WHEN asks_in_order THEN ask_size_03 ELSE clean_asks[4].size END AS ask_size_03,
    CASE WHEN bids_in_order THEN bid_price_04 ELSE clean_bids[5].price END AS bid_price_04,
    CASE WHEN bids_in_order THEN bid_size_04 ELSE clean_bids[5].size END AS bid_size_04,
    CASE WHEN asks_in_order THEN ask_price_04 ELSE clean_asks[5].price END AS ask_price_04,
    CASE WHEN asks_in_order THEN ask_size_04 ELSE clean_asks[5].size END AS ask_size_04,
    CASE WHEN bids_in_order THEN bid_price_05 ELSE clean_bids[6].price END AS bid_price_05,
    CASE WHEN bids_in_order THEN bid_size_05 ELSE clean_bids[6].size END AS bid_size_05,
    CASE WHEN asks_in_order THEN ask_price_05 ELSE clean_asks[6].price END AS ask_price_05,
    CASE WHEN asks_in_order THEN ask_size_05 ELSE clean_asks[6].size END AS ask_size_05,
    CASE WHEN bids_in_order THEN bid_price_06 ELSE clean_bids[7].price END AS bid_price_06,
    CASE WHEN bids_in_order THEN bid_size_06 ELSE clean_bids[7].size END AS bid_size_06,
    CASE WHEN asks_in_order THEN ask_price_06 ELSE clean_asks[7].price END AS ask_price_06,
    CASE WHEN asks_in_order THEN ask_size_06 ELSE clean_asks[7].size END AS ask_size_06,
    CASE WHEN bids_in_order THEN bid_price_07 ELSE clean_bids[8].price END AS bid_price_07,
    CASE WHEN bids_in_order THEN bid_size_07 ELSE clean_bids[8].size END AS bid_size_07,
    CASE WHEN asks_in_order THEN ask_price_07 ELSE clean_asks[8].price END AS ask_price_07,
    CASE WHEN asks_in_order THEN ask_size_07 ELSE clean_asks[8].size END AS ask_size_07,
    CASE WHEN bids_in_order THEN bid_price_08 ELSE clean_bids[9].price END AS bid_price_08,
    CASE WHEN bids_in_order THEN bid_size_08 ELSE clean_bids[9].size END AS bid_size_08,
    CASE WHEN asks_in_order THEN ask_price_08 ELSE clean_asks[9].price END AS ask_price_08,
    CASE WHEN asks_in_order THEN ask_size_08 ELSE clean_asks[9].size END AS ask_size_08,
    CASE WHEN bids_in_order THEN bid_price_09 ELSE clean_bids[10].price END AS bid_price_09,
    CASE WHEN bids_in_order THEN bid_size_09 ELSE clean_bids[10].size END AS bid_size_09,
    CASE WHEN asks_in_order THEN ask_price_09 ELSE clean_asks[10].price END AS ask_price_09,
    CASE WHEN asks_in_order THEN ask_size_09 ELSE clean_asks[10].size END AS ask_size_09,
    CASE WHEN bids_in_order THEN bid_price_10 ELSE clean_bids[11].price END AS bid_price_10,
    CASE WHEN bids_in_order THEN bid_size_10 ELSE clean_bids[11].size END AS bid_size_10,
    CASE WHEN asks_in_order THEN ask_price_10 ELSE clean_asks[11].price END AS ask_price_10,
    CASE WHEN asks_in_order THEN ask_size_10 ELSE clean_asks[11].size END AS ask_size_10,
    CASE WHEN bids_in_order THEN bid_price_11 ELSE clean_bids[12].price END AS bid_price_11,
    CASE WHEN bids_in_order THEN bid_size_11 ELSE clean_bids[12].size END AS bid_size_11,
    CASE WHEN asks_in_order THEN ask_price_11 ELSE clean_asks[12].price END AS ask_price_11,
    CASE WHEN asks_in_order THEN ask_size_11 ELSE clean_asks[12].size END AS ask_size_11,
    CASE WHEN bids_in_order THEN bid_price_12 ELSE clean_bids[13].price END AS bid_price_12,
    CASE WHEN bids_in_order THEN bid_size_12 ELSE clean_bids[13].size END AS bid_size_12,
    CASE WHEN asks_in_order THEN ask_price_12 ELSE clean_asks[13].price END AS ask_price_12,
    CASE WHEN asks_in_order THEN ask_size_12 ELSE clean_asks[13].size END AS ask_size_12,
    CASE WHEN bids_in_order THEN bid_price_13 ELSE clean_bids[14].price END AS bid_price_13,
    CASE WHEN bids_in_order THEN bid_size_13 ELSE clean_bids[14].size END AS bid_size_13,
    CASE WHEN asks_in_order THEN ask_price_13 ELSE clean_asks[14].price END AS ask_price_13,
    CASE WHEN asks_in_order THEN ask_size_13 ELSE clean_asks[14].size END AS ask_size_13,
    CASE WHEN bids_in_order THEN bid_price_14 ELSE clean_bids[15].price END AS bid_price_14,
    CASE WHEN bids_in_order THEN bid_size_14 ELSE clean_bids[15].size END AS bid_size_14,
    CASE WHEN asks_in_order THEN ask_price_14 ELSE clean_asks[15].price END AS ask_price_14,
    CASE WHEN asks_in_order THEN ask_size_14 ELSE clean_asks[15].size END AS ask_size_14,
    CASE WHEN bids_in_order THEN bid_price_15 ELSE clean_bids[16].price END AS bid_price_15,
    CASE WHEN bids_in_order THEN bid_size_15 ELSE clean_bids[16].size END AS bid_size_15,
    CASE WHEN asks_in_order THEN ask_price_15 ELSE clean_asks[16].price END AS ask_price_15,
    CASE WHEN asks_in_order THEN ask_size_15 ELSE clean_asks[16].size END AS ask_size_15,
    CASE WHEN bids_in_order THEN bid_price_16 ELSE clean_bids[17].price END AS bid_price_16,
    CASE WHEN bids_in_order THEN bid_size_16 ELSE clean_bids[17].size END AS bid_size_16,
    CASE WHEN asks_in_order THEN ask_price_16 ELSE clean_asks[17].price END AS ask_price_16,
    CASE WHEN asks_in_order THEN ask_size_16 ELSE clean_asks[17].size END AS ask_size_16,
    CASE WHEN bids_in_order THEN bid_price_17 ELSE clean_bids[18].price END AS bid_price_17,
    CASE WHEN bids_in_order THEN bid_size_17 ELSE clean_bids[18].size END AS bid_size_17,
    CASE WHEN asks_in_order THEN ask_price_17 ELSE clean_asks[18].price END AS ask_price_17,
    CASE WHEN asks_in_order THEN ask_size_17 ELSE clean_asks[18].size END AS ask_size_17,
    CASE WHEN bids_in_order THEN bid_price_18 ELSE clean_bids[19].price END AS bid_price_18,
    CASE WHEN bids_in_order THEN bid_size_18 ELSE clean_bids[19].size END AS bid_size_18,
    CASE WHEN asks_in_order THEN ask_price_18 ELSE clean_asks[19].price END AS ask_price_18,
    CASE WHEN asks_in_order THEN ask_size_18 ELSE clean_asks[19].size END AS ask_size_18,
    CASE WHEN bids_in_order THEN bid_price_19 ELSE clean_bids[20].price END AS bid_price_19,
    CASE WHEN bids_in_order THEN bid_size_19 ELSE clean_bids[20].size END AS bid_size_19,
    CASE WHEN asks_in_order THEN ask_price_19 ELSE clean_asks[20].price END AS ask_price_19,
    CASE WHEN asks_in_order THEN ask_size_19 ELSE clean_asks[20].size END AS ask_size_19
FROM cleaned;

CREATE OR REPLACE VIEW compiled_orderbook_labels.states AS
SELECT
    exchange, symbol, date, ts, seq,
    epoch_ns(ts) AS ns,
    bid_price_00 AS best_bid,
    ask_price_00 AS best_ask,
    bid_size_00 AS bid_size,
    ask_size_00 AS ask_size,
    CASE WHEN best_ask >= best_bid THEN (best_bid + best_ask) / 2 END AS mid_price,
    row_number() OVER in_order AS place,
    lag(ns) OVER in_order AS ns_before,
    coalesce(ns - ns_before > 300000000000, false) AS is_start,
    -- Of several valid rows of one time the last counts.
    lead(CASE WHEN mid_price IS NOT NULL THEN ns END IGNORE NULLS) OVER in_order IS NOT DISTINCT FROM ns AS is_replaced
FROM book
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq);

CREATE OR REPLACE VIEW compiled_orderbook_labels.ends AS
SELECT
    exchange, symbol,
    place,
    ns_before AS segment_end_ns
FROM states
WHERE is_start
UNION ALL
SELECT
    exchange, symbol,
    max(place) + 1,
    max(ns)
FROM states
GROUP BY exchange, symbol;

CREATE OR REPLACE VIEW compiled_orderbook_labels.located AS
SELECT
    states.* EXCLUDE (ns_before),
    ends.place AS segment,
    ends.segment_end_ns
FROM states
ASOF JOIN ends
    ON states.exchange = ends.exchange AND states.symbol = ends.symbol AND states.place < ends.place;

CREATE OR REPLACE VIEW compiled_orderbook_labels.quotes AS
SELECT
    *,
    ns AS quote_ns
FROM located
WHERE mid_price IS NOT NULL AND NOT is_replaced;

CREATE OR REPLACE VIEW compiled_orderbook_labels.after_1s AS
SELECT
    located.*,
    quotes.mid_price AS mid_after_1s
FROM located
ASOF LEFT JOIN quotes
    ON located.exchange = quotes.exchange AND located.symbol = quotes.symbol AND located.ns + 1000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_orderbook_labels.after_5s AS
SELECT
    after_1s.*,
    quotes.mid_price AS mid_after_5s
FROM after_1s
ASOF LEFT JOIN quotes
    ON after_1s.exchange = quotes.exchange AND after_1s.symbol = quotes.symbol AND after_1s.ns + 5000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_orderbook_labels.after_60s AS
SELECT
    after_5s.*,
    quotes.mid_price AS mid_after_60s
FROM after_5s
ASOF LEFT JOIN quotes
    ON after_5s.exchange = quotes.exchange AND after_5s.symbol = quotes.symbol AND after_5s.ns + 60000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_orderbook_labels.after_300s AS
SELECT
    after_60s.*,
    quotes.mid_price AS mid_after_300s
FROM after_60s
ASOF LEFT JOIN quotes
    ON after_60s.exchange = quotes.exchange AND after_60s.symbol = quotes.symbol AND after_60s.ns + 300000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_orderbook_labels.steps AS
SELECT
    exchange, symbol, segment, place, ns, mid_price,
    row_number() OVER in_order AS step,
    CASE
        WHEN ns - lag(ns) OVER in_order <= 300000000000
        THEN CASE WHEN mid_price > 0 AND lag(mid_price) OVER in_order > 0 THEN ln(mid_price / lag(mid_price) OVER in_order) END
    END AS log_return
FROM located
WHERE mid_price IS NOT NULL
WINDOW in_order AS (PARTITION BY exchange, symbol, segment ORDER BY place);

CREATE OR REPLACE VIEW compiled_orderbook_labels.framed AS
SELECT
    *,
    step - min(step) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 300000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_of_sigma
FROM steps;

CREATE OR REPLACE VIEW compiled_orderbook_labels.means AS
SELECT
    exchange, symbol, place,
    CASE WHEN count(*) OVER last_10 = 10 THEN favg(mid_price) OVER last_10 END AS mean_last_10,
    CASE WHEN count(*) OVER next_10 = 10 THEN favg(mid_price) OVER next_10 END AS mean_next_10,
    CASE WHEN count(*) OVER last_20 = 20 THEN favg(mid_price) OVER last_20 END AS mean_last_20,
    CASE WHEN count(*) OVER next_20 = 20 THEN favg(mid_price) OVER next_20 END AS mean_next_20,
    CASE WHEN count(*) OVER last_50 = 50 THEN favg(mid_price) OVER last_50 END AS mean_last_50,
    CASE WHEN count(*) OVER next_50 = 50 THEN favg(mid_price) OVER next_50 END AS mean_next_50,
    sqrt(sum(log_return * log_return) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN rows_of_sigma PRECEDING AND CURRENT ROW
    )) AS sigma
FROM framed
WINDOW
    last_10 AS (PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN 9 PRECEDING AND CURRENT ROW),
    next_10 AS (PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN 1 FOLLOWING AND 10 FOLLOWING),
    last_20 AS (PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN 19 PRECEDING AND CURRENT ROW),
    next_20 AS (PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN 1 FOLLOWING AND 20 FOLLOWING),
    last_50 AS (PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN 49 PRECEDING AND CURRENT ROW),
    next_50 AS (PARTITION BY exchange, symbol, segment ORDER BY step ROWS BETWEEN 1 FOLLOWING AND 50 FOLLOWING);

CREATE OR REPLACE VIEW compiled_orderbook_labels.returns AS
SELECT
    *,
    CASE
        WHEN ns + 1000000000 <= segment_end_ns
        THEN CASE WHEN mid_after_1s > 0 AND mid_price > 0 THEN ln(mid_after_1s / mid_price) END
    END AS return_1s,
    CASE
        WHEN ns + 5000000000 <= segment_end_ns
        THEN CASE WHEN mid_after_5s > 0 AND mid_price > 0 THEN ln(mid_after_5s / mid_price) END
    END AS return_5s,
    CASE
        WHEN ns + 60000000000 <= segment_end_ns
        THEN CASE WHEN mid_after_60s > 0 AND mid_price > 0 THEN ln(mid_after_60s / mid_price) END
    END AS return_60s,
    CASE
        WHEN ns + 300000000000 <= segment_end_ns
        THEN CASE WHEN mid_after_300s > 0 AND mid_price > 0 THEN ln(mid_after_300s / mid_price) END
    END AS return_300s,
    1e-4 AS barrier_step
FROM after_300s
LEFT JOIN means USING (exchange, symbol, place);

CREATE OR REPLACE VIEW compiled_orderbook_labels.kernel_input AS
SELECT
    exchange,
    symbol,
    date,
    ts, -- UTC, ns: exchange time, else time of collection
    seq, -- 1: position of the row in its partition, in file order
    return_1s
        AS fwd_return_1s, -- label: 1: ln(mid price 1 s later / mid_price), NULL where the segment ends before
    CAST(CASE WHEN abs(return_1s) > 1.0 / 1e4 THEN sign(return_1s) ELSE 0 * return_1s END AS SMALLINT)
        AS direction_1s, -- label: 1: sign of fwd_return_1s where that is beyond 1 bps, else 0
    return_5s
        AS fwd_return_5s, -- label: 1: ln(mid price 5 s later / mid_price), NULL where the segment ends before
    CAST(CASE WHEN abs(return_5s) > 1.0 / 1e4 THEN sign(return_5s) ELSE 0 * return_5s END AS SMALLINT)
        AS direction_5s, -- label: 1: sign of fwd_return_5s where that is beyond 1 bps, else 0
    return_60s
        AS fwd_return_60s, -- label: 1: ln(mid price 60 s later / mid_price), NULL where the segment ends before
    CAST(CASE WHEN abs(return_60s) > 1.0 / 1e4 THEN sign(return_60s) ELSE 0 * return_60s END AS SMALLINT)
        AS direction_60s, -- label: 1: sign of fwd_return_60s where that is beyond 1 bps, else 0
    return_300s
        AS fwd_return_300s, -- label: 1: ln(mid price 300 s later / mid_price), NULL where the segment ends before
    CAST(CASE WHEN abs(return_300s) > 1.0 / 1e4 THEN sign(return_300s) ELSE 0 * return_300s END AS SMALLINT)
        AS direction_300s, -- label: 1: sign of fwd_return_300s where that is beyond 1 bps, else 0
    (mean_next_10 - mean_last_10) / nullif(mean_last_10, 0)
        AS smooth_return_10, -- label: 1: mean mid_price of the next 10 rows / that of the last 10 - 1 [Ntakaris 2018, Zhang 2019]
    (mean_next_20 - mean_last_20) / nullif(mean_last_20, 0)
        AS smooth_return_20, -- label: 1: mean mid_price of the next 20 rows / that of the last 20 - 1 [Ntakaris 2018, Zhang 2019]
    (mean_next_50 - mean_last_50) / nullif(mean_last_50, 0)
        AS smooth_return_50, -- label: 1: mean mid_price of the next 50 rows / that of the last 50 - 1 [Ntakaris 2018, Zhang 2019]
    is_start OR place = 1 AS starts_segment, -- flag: the first row after a gap
    mid_price * (1 + 10.0 * barrier_step)
        AS barrier_upper, -- q: mid_price * (1 + 10 bps)
    mid_price * (1 - 10.0 * barrier_step)
        AS barrier_lower, -- q: mid_price * (1 - 10 bps)
    mid_price -- q: (best bid + best ask) / 2, NULL where crossed or one-sided
FROM returns
ORDER BY exchange, symbol, ts, date, seq;

-- kernel triple_barrier, version 1: First touch of an upper barrier, a lower one or the end of a time
--   options barrier_horizon = 300.0
--   reads ts, starts_segment, mid_price, barrier_upper, barrier_lower
--   gives barrier_label: smallint; label: 1: 1 at barrier_upper first, -1 at barrier_lower, 0 at neither in 300 s [Lopez de Prado 2018]
--   gives barrier_ts: timestamp; label: UTC, ns: time of the first row at or beyond a barrier, else 300 s later [Lopez de Prado 2018]
--   gives barrier_return: double; label: 1: mid price at barrier_ts / mid_price - 1 [Lopez de Prado 2018]

COPY (
    SELECT *
    FROM kernel_rows
) TO 'target/tables/orderbook_labels' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
