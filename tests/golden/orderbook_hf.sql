-- model:       orderbook_hf
-- description: Features per order book snapshot, with order flow and toxicity
-- template:    orderbook/hf.sql.j2
-- inputs:      orderbook = ccxt_orderbook
--              trades = ccxt_trades
-- options:     max_gap = 300
--              ofi_price = True
--              horizons = [5, 15, 60, 300, 900]
--              ofi_levels = 10
--              mlofi_decay = 0.5
--              enable_vpin = True
--              vpin_bucket_volume = 'adv/50'
--              vpin_window_buckets = 50
--              vpin_classification = 'aggressor'
--              vpin_bulk_seconds = 60
--              vpin_bulk_bars = 50
--              lot_size = 1e-08
--              kyle_window = 300
--              impact_window = 300
--              regime_window = 300
--              regime_mode = 'percentile'
--              tight_percentile = 0.2
--              wide_percentile = 0.8
--              tight_bps = 2.0
--              wide_bps = 10.0
--              max_levels = 20
--              top_levels = 5
--              imbalance_levels = [1, 3, 5, 10]
--              bands_bps = [5, 10, 25, 50, 100]
--              smart_depth_k = 100.0
--              regression_levels = 10
--              keep_book = False
-- lookback:    0 s
-- publishes:   processed/ccxt/orderbook/hf (overwrite), by exchange, symbol, date
-- fingerprint: b443effa2155676a1a99e4d1
-- stages:      kernel_input, line 813
--              centred, line 785
--              sums, line 542
--              levels, line 418
--              quotes, line 320
--              orderbook, line 52
--
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_orderbook_hf.kernel_input LIMIT 10, or just FROM kernel_input where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_orderbook_hf;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_orderbook_hf".main';

CREATE OR REPLACE VIEW compiled_orderbook_hf.orderbook AS
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

CREATE OR REPLACE VIEW compiled_orderbook_hf.quotes AS
SELECT
    *,
    bid_price_00 AS best_bid,
    ask_price_00 AS best_ask,
    CASE
        WHEN best_bid IS NULL AND best_ask IS NULL THEN 'empty'
        WHEN best_bid IS NULL OR best_ask IS NULL THEN 'one_sided'
        WHEN best_ask < best_bid THEN 'crossed'
        WHEN best_ask = best_bid THEN 'locked'
        ELSE 'ok'
    END AS book_state,
    CASE WHEN best_ask >= best_bid THEN (best_bid + best_ask) / 2 END AS mid_price,
    CASE WHEN mid_price > 0 THEN mid_price END AS positive_mid, -- of ratios
    best_ask - best_bid AS spread,
    least(bid_levels, ask_levels, 10) AS shared_levels,
    CASE WHEN positive_mid IS NOT NULL AND shared_levels >= 3 THEN shared_levels END AS fit_levels,
    bid_size_00 AS bid_amount_00,

    CASE WHEN bid_levels > 1 THEN bid_size_01 ELSE 0 END AS bid_amount_01,

    CASE WHEN bid_levels > 2 THEN bid_size_02 ELSE 0 END AS bid_amount_02,

    CASE WHEN bid_levels > 3 THEN bid_size_03 ELSE 0 END AS bid_amount_03,

    CASE WHEN bid_levels > 4 THEN bid_size_04 ELSE 0 END AS bid_amount_04,

    CASE WHEN bid_levels > 5 THEN bid_size_05 ELSE 0 END AS bid_amount_05,

    CASE WHEN bid_levels > 6 THEN bid_size_06 ELSE 0 END AS bid_amount_06,

    CASE WHEN bid_levels > 7 THEN bid_size_07 ELSE 0 END AS bid_amount_07,

    CASE WHEN bid_levels > 8 THEN bid_size_08 ELSE 0 END AS bid_amount_08,

    CASE WHEN bid_levels > 9 THEN bid_size_09 ELSE 0 END AS bid_amount_09,

    CASE WHEN bid_levels > 10 THEN bid_size_10 ELSE 0 END AS bid_amount_10,

    CASE WHEN bid_levels > 11 THEN bid_size_11 ELSE 0 END AS bid_amount_11,

    CASE WHEN bid_levels > 12 THEN bid_size_12 ELSE 0 END AS bid_amount_12,

    CASE WHEN bid_levels > 13 THEN bid_size_13 ELSE 0 END AS bid_amount_13,

    CASE WHEN bid_levels > 14 THEN bid_size_14 ELSE 0 END AS bid_amount_14,

    CASE WHEN bid_levels > 15 THEN bid_size_15 ELSE 0 END AS bid_amount_15,

    CASE WHEN bid_levels > 16 THEN bid_size_16 ELSE 0 END AS bid_amount_16,

    CASE WHEN bid_levels > 17 THEN bid_size_17 ELSE 0 END AS bid_amount_17,

    CASE WHEN bid_levels > 18 THEN bid_size_18 ELSE 0 END AS bid_amount_18,

    CASE WHEN bid_levels > 19 THEN bid_size_19 ELSE 0 END AS bid_amount_19,
    ask_size_00 AS ask_amount_00,

    CASE WHEN ask_levels > 1 THEN ask_size_01 ELSE 0 END AS ask_amount_01,

    CASE WHEN ask_levels > 2 THEN ask_size_02 ELSE 0 END AS ask_amount_02,

    CASE WHEN ask_levels > 3 THEN ask_size_03 ELSE 0 END AS ask_amount_03,

    CASE WHEN ask_levels > 4 THEN ask_size_04 ELSE 0 END AS ask_amount_04,

    CASE WHEN ask_levels > 5 THEN ask_size_05 ELSE 0 END AS ask_amount_05,

    CASE WHEN ask_levels > 6 THEN ask_size_06 ELSE 0 END AS ask_amount_06,

    CASE WHEN ask_levels > 7 THEN ask_size_07 ELSE 0 END AS ask_amount_07,

    CASE WHEN ask_levels > 8 THEN ask_size_08 ELSE 0 END AS ask_amount_08,

    CASE WHEN ask_levels > 9 THEN ask_size_09 ELSE 0 END AS ask_amount_09,

    CASE WHEN ask_levels > 10 THEN ask_size_10 ELSE 0 END AS ask_amount_10,

    CASE WHEN ask_levels > 11 THEN ask_size_11 ELSE 0 END AS ask_amount_11,

    CASE WHEN ask_levels > 12 THEN ask_size_12 ELSE 0 END AS ask_amount_12,

    CASE WHEN ask_levels > 13 THEN ask_size_13 ELSE 0 END AS ask_amount_13,

    CASE WHEN ask_levels > 14 THEN ask_size_14 ELSE 0 END AS ask_amount_14,

    CASE WHEN ask_levels > 15 THEN ask_size_15 ELSE 0 END AS ask_amount_15,

    CASE WHEN ask_levels > 16 THEN ask_size_16 ELSE 0 END AS ask_amount_16,

    CASE WHEN ask_levels > 17 THEN ask_size_17 ELSE 0 END AS ask_amount_17,

    CASE WHEN ask_levels > 18 THEN ask_size_18 ELSE 0 END AS ask_amount_18,

    CASE WHEN ask_levels > 19 THEN ask_size_19 ELSE 0 END AS ask_amount_19
FROM orderbook;

-- Per level: distance from mid in bps, infinite where the level is missing, and depth of the levels up to it.
CREATE OR REPLACE VIEW compiled_orderbook_hf.levels AS
SELECT
    *,
    CASE WHEN bid_levels > 0 THEN 1e4 * (positive_mid - bid_price_00) / positive_mid ELSE 'infinity' END AS bid_bps_00,
    CASE WHEN ask_levels > 0 THEN 1e4 * (ask_price_00 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_00,
    CASE WHEN bid_levels > 1 THEN 1e4 * (positive_mid - bid_price_01) / positive_mid ELSE 'infinity' END AS bid_bps_01,
    CASE WHEN ask_levels > 1 THEN 1e4 * (ask_price_01 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_01,
    CASE WHEN bid_levels > 2 THEN 1e4 * (positive_mid - bid_price_02) / positive_mid ELSE 'infinity' END AS bid_bps_02,
    CASE WHEN ask_levels > 2 THEN 1e4 * (ask_price_02 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_02,
    CASE WHEN bid_levels > 3 THEN 1e4 * (positive_mid - bid_price_03) / positive_mid ELSE 'infinity' END AS bid_bps_03,
    CASE WHEN ask_levels > 3 THEN 1e4 * (ask_price_03 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_03,
    CASE WHEN bid_levels > 4 THEN 1e4 * (positive_mid - bid_price_04) / positive_mid ELSE 'infinity' END AS bid_bps_04,
    CASE WHEN ask_levels > 4 THEN 1e4 * (ask_price_04 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_04,
    CASE WHEN bid_levels > 5 THEN 1e4 * (positive_mid - bid_price_05) / positive_mid ELSE 'infinity' END AS bid_bps_05,
    CASE WHEN ask_levels > 5 THEN 1e4 * (ask_price_05 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_05,
    CASE WHEN bid_levels > 6 THEN 1e4 * (positive_mid - bid_price_06) / positive_mid ELSE 'infinity' END AS bid_bps_06,
    CASE WHEN ask_levels > 6 THEN 1e4 * (ask_price_06 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_06,
    CASE WHEN bid_levels > 7 THEN 1e4 * (positive_mid - bid_price_07) / positive_mid ELSE 'infinity' END AS bid_bps_07,
    CASE WHEN ask_levels > 7 THEN 1e4 * (ask_price_07 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_07,
    CASE WHEN bid_levels > 8 THEN 1e4 * (positive_mid - bid_price_08) / positive_mid ELSE 'infinity' END AS bid_bps_08,
    CASE WHEN ask_levels > 8 THEN 1e4 * (ask_price_08 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_08,
    CASE WHEN bid_levels > 9 THEN 1e4 * (positive_mid - bid_price_09) / positive_mid ELSE 'infinity' END AS bid_bps_09,
    CASE WHEN ask_levels > 9 THEN 1e4 * (ask_price_09 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_09,
    CASE WHEN bid_levels > 10 THEN 1e4 * (positive_mid - bid_price_10) / positive_mid ELSE 'infinity' END AS bid_bps_10,
    CASE WHEN ask_levels > 10 THEN 1e4 * (ask_price_10 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_10,
    CASE WHEN bid_levels > 11 THEN 1e4 * (positive_mid - bid_price_11) / positive_mid ELSE 'infinity' END AS bid_bps_11,
    CASE WHEN ask_levels > 11 THEN 1e4 * (ask_price_11 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_11,
    CASE WHEN bid_levels > 12 THEN 1e4 * (positive_mid - bid_price_12) / positive_mid ELSE 'infinity' END AS bid_bps_12,
    CASE WHEN ask_levels > 12 THEN 1e4 * (ask_price_12 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_12,
    CASE WHEN bid_levels > 13 THEN 1e4 * (positive_mid - bid_price_13) / positive_mid ELSE 'infinity' END AS bid_bps_13,
    CASE WHEN ask_levels > 13 THEN 1e4 * (ask_price_13 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_13,
    CASE WHEN bid_levels > 14 THEN 1e4 * (positive_mid - bid_price_14) / positive_mid ELSE 'infinity' END AS bid_bps_14,
    CASE WHEN ask_levels > 14 THEN 1e4 * (ask_price_14 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_14,
    CASE WHEN bid_levels > 15 THEN 1e4 * (positive_mid - bid_price_15) / positive_mid ELSE 'infinity' END AS bid_bps_15,
    CASE WHEN ask_levels > 15 THEN 1e4 * (ask_price_15 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_15,
    CASE WHEN bid_levels > 16 THEN 1e4 * (positive_mid - bid_price_16) / positive_mid ELSE 'infinity' END AS bid_bps_16,
    CASE WHEN ask_levels > 16 THEN 1e4 * (ask_price_16 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_16,
    CASE WHEN bid_levels > 17 THEN 1e4 * (positive_mid - bid_price_17) / positive_mid ELSE 'infinity' END AS bid_bps_17,
    CASE WHEN ask_levels > 17 THEN 1e4 * (ask_price_17 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_17,
    CASE WHEN bid_levels > 18 THEN 1e4 * (positive_mid - bid_price_18) / positive_mid ELSE 'infinity' END AS bid_bps_18,
    CASE WHEN ask_levels > 18 THEN 1e4 * (ask_price_18 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_18,
    CASE WHEN bid_levels > 19 THEN 1e4 * (positive_mid - bid_price_19) / positive_mid ELSE 'infinity' END AS bid_bps_19,
    CASE WHEN ask_levels > 19 THEN 1e4 * (ask_price_19 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_19,
    bid_amount_00 AS bid_depth_00,

    bid_depth_00 + bid_amount_01 AS bid_depth_01,

    bid_depth_01 + bid_amount_02 AS bid_depth_02,

    bid_depth_02 + bid_amount_03 AS bid_depth_03,

    bid_depth_03 + bid_amount_04 AS bid_depth_04,

    bid_depth_04 + bid_amount_05 AS bid_depth_05,

    bid_depth_05 + bid_amount_06 AS bid_depth_06,

    bid_depth_06 + bid_amount_07 AS bid_depth_07,

    bid_depth_07 + bid_amount_08 AS bid_depth_08,

    bid_depth_08 + bid_amount_09 AS bid_depth_09,

    bid_depth_09 + bid_amount_10 AS bid_depth_10,

    bid_depth_10 + bid_amount_11 AS bid_depth_11,

    bid_depth_11 + bid_amount_12 AS bid_depth_12,

    bid_depth_12 + bid_amount_13 AS bid_depth_13,

    bid_depth_13 + bid_amount_14 AS bid_depth_14,

    bid_depth_14 + bid_amount_15 AS bid_depth_15,

    bid_depth_15 + bid_amount_16 AS bid_depth_16,

    bid_depth_16 + bid_amount_17 AS bid_depth_17,

    bid_depth_17 + bid_amount_18 AS bid_depth_18,

    bid_depth_18 + bid_amount_19 AS bid_depth_19,
    ask_amount_00 AS ask_depth_00,

    ask_depth_00 + ask_amount_01 AS ask_depth_01,

    ask_depth_01 + ask_amount_02 AS ask_depth_02,

    ask_depth_02 + ask_amount_03 AS ask_depth_03,

    ask_depth_03 + ask_amount_04 AS ask_depth_04,

    ask_depth_04 + ask_amount_05 AS ask_depth_05,

    ask_depth_05 + ask_amount_06 AS ask_depth_06,

    ask_depth_06 + ask_amount_07 AS ask_depth_07,

    ask_depth_07 + ask_amount_08 AS ask_depth_08,

    ask_depth_08 + ask_amount_09 AS ask_depth_09,

    ask_depth_09 + ask_amount_10 AS ask_depth_10,

    ask_depth_10 + ask_amount_11 AS ask_depth_11,

    ask_depth_11 + ask_amount_12 AS ask_depth_12,

    ask_depth_12 + ask_amount_13 AS ask_depth_13,

    ask_depth_13 + ask_amount_14 AS ask_depth_14,

    ask_depth_14 + ask_amount_15 AS ask_depth_15,

    ask_depth_15 + ask_amount_16 AS ask_depth_16,

    ask_depth_16 + ask_amount_17 AS ask_depth_17,

    ask_depth_17 + ask_amount_18 AS ask_depth_18,

    ask_depth_18 + ask_amount_19 AS ask_depth_19
FROM quotes;

-- Sums over levels that more than one feature is made of, and the means of the regressions.
CREATE OR REPLACE VIEW compiled_orderbook_hf.sums AS
SELECT
    *,
    bid_price_00 * bid_size_00
    + CASE WHEN bid_levels > 1 THEN bid_price_01 * bid_size_01 ELSE 0 END
    + CASE WHEN bid_levels > 2 THEN bid_price_02 * bid_size_02 ELSE 0 END
    + CASE WHEN bid_levels > 3 THEN bid_price_03 * bid_size_03 ELSE 0 END
    + CASE WHEN bid_levels > 4 THEN bid_price_04 * bid_size_04 ELSE 0 END AS bid_best_notional,
    bid_best_notional + CASE WHEN bid_levels > 5 THEN bid_price_05 * bid_size_05 ELSE 0 END
    + CASE WHEN bid_levels > 6 THEN bid_price_06 * bid_size_06 ELSE 0 END
    + CASE WHEN bid_levels > 7 THEN bid_price_07 * bid_size_07 ELSE 0 END
    + CASE WHEN bid_levels > 8 THEN bid_price_08 * bid_size_08 ELSE 0 END
    + CASE WHEN bid_levels > 9 THEN bid_price_09 * bid_size_09 ELSE 0 END
    + CASE WHEN bid_levels > 10 THEN bid_price_10 * bid_size_10 ELSE 0 END
    + CASE WHEN bid_levels > 11 THEN bid_price_11 * bid_size_11 ELSE 0 END
    + CASE WHEN bid_levels > 12 THEN bid_price_12 * bid_size_12 ELSE 0 END
    + CASE WHEN bid_levels > 13 THEN bid_price_13 * bid_size_13 ELSE 0 END
    + CASE WHEN bid_levels > 14 THEN bid_price_14 * bid_size_14 ELSE 0 END
    + CASE WHEN bid_levels > 15 THEN bid_price_15 * bid_size_15 ELSE 0 END
    + CASE WHEN bid_levels > 16 THEN bid_price_16 * bid_size_16 ELSE 0 END
    + CASE WHEN bid_levels > 17 THEN bid_price_17 * bid_size_17 ELSE 0 END
    + CASE WHEN bid_levels > 18 THEN bid_price_18 * bid_size_18 ELSE 0 END
    + CASE WHEN bid_levels > 19 THEN bid_price_19 * bid_size_19 ELSE 0 END AS bid_notional,
    bid_amount_00 * exp(-0.01 * bid_bps_00) + bid_amount_01 * exp(-0.01 * bid_bps_01)
    + bid_amount_02 * exp(-0.01 * bid_bps_02) + bid_amount_03 * exp(-0.01 * bid_bps_03)
    + bid_amount_04 * exp(-0.01 * bid_bps_04) + bid_amount_05 * exp(-0.01 * bid_bps_05)
    + bid_amount_06 * exp(-0.01 * bid_bps_06) + bid_amount_07 * exp(-0.01 * bid_bps_07)
    + bid_amount_08 * exp(-0.01 * bid_bps_08) + bid_amount_09 * exp(-0.01 * bid_bps_09)
    + bid_amount_10 * exp(-0.01 * bid_bps_10) + bid_amount_11 * exp(-0.01 * bid_bps_11)
    + bid_amount_12 * exp(-0.01 * bid_bps_12) + bid_amount_13 * exp(-0.01 * bid_bps_13)
    + bid_amount_14 * exp(-0.01 * bid_bps_14) + bid_amount_15 * exp(-0.01 * bid_bps_15)
    + bid_amount_16 * exp(-0.01 * bid_bps_16) + bid_amount_17 * exp(-0.01 * bid_bps_17)
    + bid_amount_18 * exp(-0.01 * bid_bps_18) + bid_amount_19 * exp(-0.01 * bid_bps_19) AS smart_bid_depth,
    0.49999999999995 * bid_depth_19 AS bid_half_depth,
    CASE
        WHEN bid_levels > 19 THEN bid_bps_19
        WHEN bid_levels = 19 THEN bid_bps_18 WHEN bid_levels = 18 THEN bid_bps_17 WHEN bid_levels = 17 THEN bid_bps_16
        WHEN bid_levels = 16 THEN bid_bps_15 WHEN bid_levels = 15 THEN bid_bps_14 WHEN bid_levels = 14 THEN bid_bps_13
        WHEN bid_levels = 13 THEN bid_bps_12 WHEN bid_levels = 12 THEN bid_bps_11 WHEN bid_levels = 11 THEN bid_bps_10
        WHEN bid_levels = 10 THEN bid_bps_09 WHEN bid_levels = 9 THEN bid_bps_08 WHEN bid_levels = 8 THEN bid_bps_07
        WHEN bid_levels = 7 THEN bid_bps_06 WHEN bid_levels = 6 THEN bid_bps_05 WHEN bid_levels = 5 THEN bid_bps_04
        WHEN bid_levels = 4 THEN bid_bps_03 WHEN bid_levels = 3 THEN bid_bps_02 WHEN bid_levels = 2 THEN bid_bps_01
        WHEN bid_levels = 1 THEN bid_bps_00
        ELSE 'infinity'
    END AS bid_seen_bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 4.999999 THEN NULL
        WHEN bid_bps_19 < 4.999999 THEN bid_depth_19 WHEN bid_bps_18 < 4.999999 THEN bid_depth_18
        WHEN bid_bps_17 < 4.999999 THEN bid_depth_17 WHEN bid_bps_16 < 4.999999 THEN bid_depth_16
        WHEN bid_bps_15 < 4.999999 THEN bid_depth_15 WHEN bid_bps_14 < 4.999999 THEN bid_depth_14
        WHEN bid_bps_13 < 4.999999 THEN bid_depth_13 WHEN bid_bps_12 < 4.999999 THEN bid_depth_12
        WHEN bid_bps_11 < 4.999999 THEN bid_depth_11 WHEN bid_bps_10 < 4.999999 THEN bid_depth_10
        WHEN bid_bps_09 < 4.999999 THEN bid_depth_09 WHEN bid_bps_08 < 4.999999 THEN bid_depth_08
        WHEN bid_bps_07 < 4.999999 THEN bid_depth_07 WHEN bid_bps_06 < 4.999999 THEN bid_depth_06
        WHEN bid_bps_05 < 4.999999 THEN bid_depth_05 WHEN bid_bps_04 < 4.999999 THEN bid_depth_04
        WHEN bid_bps_03 < 4.999999 THEN bid_depth_03 WHEN bid_bps_02 < 4.999999 THEN bid_depth_02
        WHEN bid_bps_01 < 4.999999 THEN bid_depth_01 WHEN bid_bps_00 < 4.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_5bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 9.999999 THEN NULL
        WHEN bid_bps_19 < 9.999999 THEN bid_depth_19 WHEN bid_bps_18 < 9.999999 THEN bid_depth_18
        WHEN bid_bps_17 < 9.999999 THEN bid_depth_17 WHEN bid_bps_16 < 9.999999 THEN bid_depth_16
        WHEN bid_bps_15 < 9.999999 THEN bid_depth_15 WHEN bid_bps_14 < 9.999999 THEN bid_depth_14
        WHEN bid_bps_13 < 9.999999 THEN bid_depth_13 WHEN bid_bps_12 < 9.999999 THEN bid_depth_12
        WHEN bid_bps_11 < 9.999999 THEN bid_depth_11 WHEN bid_bps_10 < 9.999999 THEN bid_depth_10
        WHEN bid_bps_09 < 9.999999 THEN bid_depth_09 WHEN bid_bps_08 < 9.999999 THEN bid_depth_08
        WHEN bid_bps_07 < 9.999999 THEN bid_depth_07 WHEN bid_bps_06 < 9.999999 THEN bid_depth_06
        WHEN bid_bps_05 < 9.999999 THEN bid_depth_05 WHEN bid_bps_04 < 9.999999 THEN bid_depth_04
        WHEN bid_bps_03 < 9.999999 THEN bid_depth_03 WHEN bid_bps_02 < 9.999999 THEN bid_depth_02
        WHEN bid_bps_01 < 9.999999 THEN bid_depth_01 WHEN bid_bps_00 < 9.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_10bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 24.999999 THEN NULL
        WHEN bid_bps_19 < 24.999999 THEN bid_depth_19 WHEN bid_bps_18 < 24.999999 THEN bid_depth_18
        WHEN bid_bps_17 < 24.999999 THEN bid_depth_17 WHEN bid_bps_16 < 24.999999 THEN bid_depth_16
        WHEN bid_bps_15 < 24.999999 THEN bid_depth_15 WHEN bid_bps_14 < 24.999999 THEN bid_depth_14
        WHEN bid_bps_13 < 24.999999 THEN bid_depth_13 WHEN bid_bps_12 < 24.999999 THEN bid_depth_12
        WHEN bid_bps_11 < 24.999999 THEN bid_depth_11 WHEN bid_bps_10 < 24.999999 THEN bid_depth_10
        WHEN bid_bps_09 < 24.999999 THEN bid_depth_09 WHEN bid_bps_08 < 24.999999 THEN bid_depth_08
        WHEN bid_bps_07 < 24.999999 THEN bid_depth_07 WHEN bid_bps_06 < 24.999999 THEN bid_depth_06
        WHEN bid_bps_05 < 24.999999 THEN bid_depth_05 WHEN bid_bps_04 < 24.999999 THEN bid_depth_04
        WHEN bid_bps_03 < 24.999999 THEN bid_depth_03 WHEN bid_bps_02 < 24.999999 THEN bid_depth_02
        WHEN bid_bps_01 < 24.999999 THEN bid_depth_01 WHEN bid_bps_00 < 24.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_25bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 49.999999 THEN NULL
        WHEN bid_bps_19 < 49.999999 THEN bid_depth_19 WHEN bid_bps_18 < 49.999999 THEN bid_depth_18
        WHEN bid_bps_17 < 49.999999 THEN bid_depth_17 WHEN bid_bps_16 < 49.999999 THEN bid_depth_16
        WHEN bid_bps_15 < 49.999999 THEN bid_depth_15 WHEN bid_bps_14 < 49.999999 THEN bid_depth_14
        WHEN bid_bps_13 < 49.999999 THEN bid_depth_13 WHEN bid_bps_12 < 49.999999 THEN bid_depth_12
        WHEN bid_bps_11 < 49.999999 THEN bid_depth_11 WHEN bid_bps_10 < 49.999999 THEN bid_depth_10
        WHEN bid_bps_09 < 49.999999 THEN bid_depth_09 WHEN bid_bps_08 < 49.999999 THEN bid_depth_08
        WHEN bid_bps_07 < 49.999999 THEN bid_depth_07 WHEN bid_bps_06 < 49.999999 THEN bid_depth_06
        WHEN bid_bps_05 < 49.999999 THEN bid_depth_05 WHEN bid_bps_04 < 49.999999 THEN bid_depth_04
        WHEN bid_bps_03 < 49.999999 THEN bid_depth_03 WHEN bid_bps_02 < 49.999999 THEN bid_depth_02
        WHEN bid_bps_01 < 49.999999 THEN bid_depth_01 WHEN bid_bps_00 < 49.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_50bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 99.999999 THEN NULL
        WHEN bid_bps_19 < 99.999999 THEN bid_depth_19 WHEN bid_bps_18 < 99.999999 THEN bid_depth_18
        WHEN bid_bps_17 < 99.999999 THEN bid_depth_17 WHEN bid_bps_16 < 99.999999 THEN bid_depth_16
        WHEN bid_bps_15 < 99.999999 THEN bid_depth_15 WHEN bid_bps_14 < 99.999999 THEN bid_depth_14
        WHEN bid_bps_13 < 99.999999 THEN bid_depth_13 WHEN bid_bps_12 < 99.999999 THEN bid_depth_12
        WHEN bid_bps_11 < 99.999999 THEN bid_depth_11 WHEN bid_bps_10 < 99.999999 THEN bid_depth_10
        WHEN bid_bps_09 < 99.999999 THEN bid_depth_09 WHEN bid_bps_08 < 99.999999 THEN bid_depth_08
        WHEN bid_bps_07 < 99.999999 THEN bid_depth_07 WHEN bid_bps_06 < 99.999999 THEN bid_depth_06
        WHEN bid_bps_05 < 99.999999 THEN bid_depth_05 WHEN bid_bps_04 < 99.999999 THEN bid_depth_04
        WHEN bid_bps_03 < 99.999999 THEN bid_depth_03 WHEN bid_bps_02 < 99.999999 THEN bid_depth_02
        WHEN bid_bps_01 < 99.999999 THEN bid_depth_01 WHEN bid_bps_00 < 99.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_100bps,
    (
        CASE WHEN fit_levels > 0 THEN bid_bps_00 ELSE 0 END + CASE WHEN fit_levels > 1 THEN bid_bps_01 ELSE 0 END
        + CASE WHEN fit_levels > 2 THEN bid_bps_02 ELSE 0 END + CASE WHEN fit_levels > 3 THEN bid_bps_03 ELSE 0 END
        + CASE WHEN fit_levels > 4 THEN bid_bps_04 ELSE 0 END + CASE WHEN fit_levels > 5 THEN bid_bps_05 ELSE 0 END
        + CASE WHEN fit_levels > 6 THEN bid_bps_06 ELSE 0 END + CASE WHEN fit_levels > 7 THEN bid_bps_07 ELSE 0 END
        + CASE WHEN fit_levels > 8 THEN bid_bps_08 ELSE 0 END + CASE WHEN fit_levels > 9 THEN bid_bps_09 ELSE 0 END
    ) / fit_levels AS bid_x_mean,
    ask_price_00 * ask_size_00
    + CASE WHEN ask_levels > 1 THEN ask_price_01 * ask_size_01 ELSE 0 END
    + CASE WHEN ask_levels > 2 THEN ask_price_02 * ask_size_02 ELSE 0 END
    + CASE WHEN ask_levels > 3 THEN ask_price_03 * ask_size_03 ELSE 0 END
    + CASE WHEN ask_levels > 4 THEN ask_price_04 * ask_size_04 ELSE 0 END AS ask_best_notional,
    ask_best_notional + CASE WHEN ask_levels > 5 THEN ask_price_05 * ask_size_05 ELSE 0 END
    + CASE WHEN ask_levels > 6 THEN ask_price_06 * ask_size_06 ELSE 0 END
    + CASE WHEN ask_levels > 7 THEN ask_price_07 * ask_size_07 ELSE 0 END
    + CASE WHEN ask_levels > 8 THEN ask_price_08 * ask_size_08 ELSE 0 END
    + CASE WHEN ask_levels > 9 THEN ask_price_09 * ask_size_09 ELSE 0 END
    + CASE WHEN ask_levels > 10 THEN ask_price_10 * ask_size_10 ELSE 0 END
    + CASE WHEN ask_levels > 11 THEN ask_price_11 * ask_size_11 ELSE 0 END
    + CASE WHEN ask_levels > 12 THEN ask_price_12 * ask_size_12 ELSE 0 END
    + CASE WHEN ask_levels > 13 THEN ask_price_13 * ask_size_13 ELSE 0 END
    + CASE WHEN ask_levels > 14 THEN ask_price_14 * ask_size_14 ELSE 0 END
    + CASE WHEN ask_levels > 15 THEN ask_price_15 * ask_size_15 ELSE 0 END
    + CASE WHEN ask_levels > 16 THEN ask_price_16 * ask_size_16 ELSE 0 END
    + CASE WHEN ask_levels > 17 THEN ask_price_17 * ask_size_17 ELSE 0 END
    + CASE WHEN ask_levels > 18 THEN ask_price_18 * ask_size_18 ELSE 0 END
    + CASE WHEN ask_levels > 19 THEN ask_price_19 * ask_size_19 ELSE 0 END AS ask_notional,
    ask_amount_00 * exp(-0.01 * ask_bps_00) + ask_amount_01 * exp(-0.01 * ask_bps_01)
    + ask_amount_02 * exp(-0.01 * ask_bps_02) + ask_amount_03 * exp(-0.01 * ask_bps_03)
    + ask_amount_04 * exp(-0.01 * ask_bps_04) + ask_amount_05 * exp(-0.01 * ask_bps_05)
    + ask_amount_06 * exp(-0.01 * ask_bps_06) + ask_amount_07 * exp(-0.01 * ask_bps_07)
    + ask_amount_08 * exp(-0.01 * ask_bps_08) + ask_amount_09 * exp(-0.01 * ask_bps_09)
    + ask_amount_10 * exp(-0.01 * ask_bps_10) + ask_amount_11 * exp(-0.01 * ask_bps_11)
    + ask_amount_12 * exp(-0.01 * ask_bps_12) + ask_amount_13 * exp(-0.01 * ask_bps_13)
    + ask_amount_14 * exp(-0.01 * ask_bps_14) + ask_amount_15 * exp(-0.01 * ask_bps_15)
    + ask_amount_16 * exp(-0.01 * ask_bps_16) + ask_amount_17 * exp(-0.01 * ask_bps_17)
    + ask_amount_18 * exp(-0.01 * ask_bps_18) + ask_amount_19 * exp(-0.01 * ask_bps_19) AS smart_ask_depth,
    0.49999999999995 * ask_depth_19 AS ask_half_depth,
    CASE
        WHEN ask_levels > 19 THEN ask_bps_19
        WHEN ask_levels = 19 THEN ask_bps_18 WHEN ask_levels = 18 THEN ask_bps_17 WHEN ask_levels = 17 THEN ask_bps_16
        WHEN ask_levels = 16 THEN ask_bps_15 WHEN ask_levels = 15 THEN ask_bps_14 WHEN ask_levels = 14 THEN ask_bps_13
        WHEN ask_levels = 13 THEN ask_bps_12 WHEN ask_levels = 12 THEN ask_bps_11 WHEN ask_levels = 11 THEN ask_bps_10
        WHEN ask_levels = 10 THEN ask_bps_09 WHEN ask_levels = 9 THEN ask_bps_08 WHEN ask_levels = 8 THEN ask_bps_07
        WHEN ask_levels = 7 THEN ask_bps_06 WHEN ask_levels = 6 THEN ask_bps_05 WHEN ask_levels = 5 THEN ask_bps_04
        WHEN ask_levels = 4 THEN ask_bps_03 WHEN ask_levels = 3 THEN ask_bps_02 WHEN ask_levels = 2 THEN ask_bps_01
        WHEN ask_levels = 1 THEN ask_bps_00
        ELSE 'infinity'
    END AS ask_seen_bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 4.999999 THEN NULL
        WHEN ask_bps_19 < 4.999999 THEN ask_depth_19 WHEN ask_bps_18 < 4.999999 THEN ask_depth_18
        WHEN ask_bps_17 < 4.999999 THEN ask_depth_17 WHEN ask_bps_16 < 4.999999 THEN ask_depth_16
        WHEN ask_bps_15 < 4.999999 THEN ask_depth_15 WHEN ask_bps_14 < 4.999999 THEN ask_depth_14
        WHEN ask_bps_13 < 4.999999 THEN ask_depth_13 WHEN ask_bps_12 < 4.999999 THEN ask_depth_12
        WHEN ask_bps_11 < 4.999999 THEN ask_depth_11 WHEN ask_bps_10 < 4.999999 THEN ask_depth_10
        WHEN ask_bps_09 < 4.999999 THEN ask_depth_09 WHEN ask_bps_08 < 4.999999 THEN ask_depth_08
        WHEN ask_bps_07 < 4.999999 THEN ask_depth_07 WHEN ask_bps_06 < 4.999999 THEN ask_depth_06
        WHEN ask_bps_05 < 4.999999 THEN ask_depth_05 WHEN ask_bps_04 < 4.999999 THEN ask_depth_04
        WHEN ask_bps_03 < 4.999999 THEN ask_depth_03 WHEN ask_bps_02 < 4.999999 THEN ask_depth_02
        WHEN ask_bps_01 < 4.999999 THEN ask_depth_01 WHEN ask_bps_00 < 4.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_5bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 9.999999 THEN NULL
        WHEN ask_bps_19 < 9.999999 THEN ask_depth_19 WHEN ask_bps_18 < 9.999999 THEN ask_depth_18
        WHEN ask_bps_17 < 9.999999 THEN ask_depth_17 WHEN ask_bps_16 < 9.999999 THEN ask_depth_16
        WHEN ask_bps_15 < 9.999999 THEN ask_depth_15 WHEN ask_bps_14 < 9.999999 THEN ask_depth_14
        WHEN ask_bps_13 < 9.999999 THEN ask_depth_13 WHEN ask_bps_12 < 9.999999 THEN ask_depth_12
        WHEN ask_bps_11 < 9.999999 THEN ask_depth_11 WHEN ask_bps_10 < 9.999999 THEN ask_depth_10
        WHEN ask_bps_09 < 9.999999 THEN ask_depth_09 WHEN ask_bps_08 < 9.999999 THEN ask_depth_08
        WHEN ask_bps_07 < 9.999999 THEN ask_depth_07 WHEN ask_bps_06 < 9.999999 THEN ask_depth_06
        WHEN ask_bps_05 < 9.999999 THEN ask_depth_05 WHEN ask_bps_04 < 9.999999 THEN ask_depth_04
        WHEN ask_bps_03 < 9.999999 THEN ask_depth_03 WHEN ask_bps_02 < 9.999999 THEN ask_depth_02
        WHEN ask_bps_01 < 9.999999 THEN ask_depth_01 WHEN ask_bps_00 < 9.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_10bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 24.999999 THEN NULL
        WHEN ask_bps_19 < 24.999999 THEN ask_depth_19 WHEN ask_bps_18 < 24.999999 THEN ask_depth_18
        WHEN ask_bps_17 < 24.999999 THEN ask_depth_17 WHEN ask_bps_16 < 24.999999 THEN ask_depth_16
        WHEN ask_bps_15 < 24.999999 THEN ask_depth_15 WHEN ask_bps_14 < 24.999999 THEN ask_depth_14
        WHEN ask_bps_13 < 24.999999 THEN ask_depth_13 WHEN ask_bps_12 < 24.999999 THEN ask_depth_12
        WHEN ask_bps_11 < 24.999999 THEN ask_depth_11 WHEN ask_bps_10 < 24.999999 THEN ask_depth_10
        WHEN ask_bps_09 < 24.999999 THEN ask_depth_09 WHEN ask_bps_08 < 24.999999 THEN ask_depth_08
        WHEN ask_bps_07 < 24.999999 THEN ask_depth_07 WHEN ask_bps_06 < 24.999999 THEN ask_depth_06
        WHEN ask_bps_05 < 24.999999 THEN ask_depth_05 WHEN ask_bps_04 < 24.999999 THEN ask_depth_04
        WHEN ask_bps_03 < 24.999999 THEN ask_depth_03 WHEN ask_bps_02 < 24.999999 THEN ask_depth_02
        WHEN ask_bps_01 < 24.999999 THEN ask_depth_01 WHEN ask_bps_00 < 24.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_25bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 49.999999 THEN NULL
        WHEN ask_bps_19 < 49.999999 THEN ask_depth_19 WHEN ask_bps_18 < 49.999999 THEN ask_depth_18
        WHEN ask_bps_17 < 49.999999 THEN ask_depth_17 WHEN ask_bps_16 < 49.999999 THEN ask_depth_16
        WHEN ask_bps_15 < 49.999999 THEN ask_depth_15 WHEN ask_bps_14 < 49.999999 THEN ask_depth_14
        WHEN ask_bps_13 < 49.999999 THEN ask_depth_13 WHEN ask_bps_12 < 49.999999 THEN ask_depth_12
        WHEN ask_bps_11 < 49.999999 THEN ask_depth_11 WHEN ask_bps_10 < 49.999999 THEN ask_depth_10
        WHEN ask_bps_09 < 49.999999 THEN ask_depth_09 WHEN ask_bps_08 < 49.999999 THEN ask_depth_08
        WHEN ask_bps_07 < 49.999999 THEN ask_depth_07 WHEN ask_bps_06 < 49.999999 THEN ask_depth_06
        WHEN ask_bps_05 < 49.999999 THEN ask_depth_05 WHEN ask_bps_04 < 49.999999 THEN ask_depth_04
        WHEN ask_bps_03 < 49.999999 THEN ask_depth_03 WHEN ask_bps_02 < 49.999999 THEN ask_depth_02
        WHEN ask_bps_01 < 49.999999 THEN ask_depth_01 WHEN ask_bps_00 < 49.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_50bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 99.999999 THEN NULL
        WHEN ask_bps_19 < 99.999999 THEN ask_depth_19 WHEN ask_bps_18 < 99.999999 THEN ask_depth_18
        WHEN ask_bps_17 < 99.999999 THEN ask_depth_17 WHEN ask_bps_16 < 99.999999 THEN ask_depth_16
        WHEN ask_bps_15 < 99.999999 THEN ask_depth_15 WHEN ask_bps_14 < 99.999999 THEN ask_depth_14
        WHEN ask_bps_13 < 99.999999 THEN ask_depth_13 WHEN ask_bps_12 < 99.999999 THEN ask_depth_12
        WHEN ask_bps_11 < 99.999999 THEN ask_depth_11 WHEN ask_bps_10 < 99.999999 THEN ask_depth_10
        WHEN ask_bps_09 < 99.999999 THEN ask_depth_09 WHEN ask_bps_08 < 99.999999 THEN ask_depth_08
        WHEN ask_bps_07 < 99.999999 THEN ask_depth_07 WHEN ask_bps_06 < 99.999999 THEN ask_depth_06
        WHEN ask_bps_05 < 99.999999 THEN ask_depth_05 WHEN ask_bps_04 < 99.999999 THEN ask_depth_04
        WHEN ask_bps_03 < 99.999999 THEN ask_depth_03 WHEN ask_bps_02 < 99.999999 THEN ask_depth_02
        WHEN ask_bps_01 < 99.999999 THEN ask_depth_01 WHEN ask_bps_00 < 99.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_100bps,
    (
        CASE WHEN fit_levels > 0 THEN ask_bps_00 ELSE 0 END + CASE WHEN fit_levels > 1 THEN ask_bps_01 ELSE 0 END
        + CASE WHEN fit_levels > 2 THEN ask_bps_02 ELSE 0 END + CASE WHEN fit_levels > 3 THEN ask_bps_03 ELSE 0 END
        + CASE WHEN fit_levels > 4 THEN ask_bps_04 ELSE 0 END + CASE WHEN fit_levels > 5 THEN ask_bps_05 ELSE 0 END
        + CASE WHEN fit_levels > 6 THEN ask_bps_06 ELSE 0 END + CASE WHEN fit_levels > 7 THEN ask_bps_07 ELSE 0 END
        + CASE WHEN fit_levels > 8 THEN ask_bps_08 ELSE 0 END + CASE WHEN fit_levels > 9 THEN ask_bps_09 ELSE 0 END
    ) / fit_levels AS ask_x_mean
FROM levels;

CREATE OR REPLACE VIEW compiled_orderbook_hf.centred AS
    SELECT
        *,
        CASE WHEN fit_levels > 0 THEN bid_bps_00 - bid_x_mean ELSE 0 END AS bid_x_00,
        CASE WHEN fit_levels > 1 THEN bid_bps_01 - bid_x_mean ELSE 0 END AS bid_x_01,
        CASE WHEN fit_levels > 2 THEN bid_bps_02 - bid_x_mean ELSE 0 END AS bid_x_02,
        CASE WHEN fit_levels > 3 THEN bid_bps_03 - bid_x_mean ELSE 0 END AS bid_x_03,
        CASE WHEN fit_levels > 4 THEN bid_bps_04 - bid_x_mean ELSE 0 END AS bid_x_04,
        CASE WHEN fit_levels > 5 THEN bid_bps_05 - bid_x_mean ELSE 0 END AS bid_x_05,
        CASE WHEN fit_levels > 6 THEN bid_bps_06 - bid_x_mean ELSE 0 END AS bid_x_06,
        CASE WHEN fit_levels > 7 THEN bid_bps_07 - bid_x_mean ELSE 0 END AS bid_x_07,
        CASE WHEN fit_levels > 8 THEN bid_bps_08 - bid_x_mean ELSE 0 END AS bid_x_08,
        CASE WHEN fit_levels > 9 THEN bid_bps_09 - bid_x_mean ELSE 0 END AS bid_x_09
,
        CASE WHEN fit_levels > 0 THEN ask_bps_00 - ask_x_mean ELSE 0 END AS ask_x_00,
        CASE WHEN fit_levels > 1 THEN ask_bps_01 - ask_x_mean ELSE 0 END AS ask_x_01,
        CASE WHEN fit_levels > 2 THEN ask_bps_02 - ask_x_mean ELSE 0 END AS ask_x_02,
        CASE WHEN fit_levels > 3 THEN ask_bps_03 - ask_x_mean ELSE 0 END AS ask_x_03,
        CASE WHEN fit_levels > 4 THEN ask_bps_04 - ask_x_mean ELSE 0 END AS ask_x_04,
        CASE WHEN fit_levels > 5 THEN ask_bps_05 - ask_x_mean ELSE 0 END AS ask_x_05,
        CASE WHEN fit_levels > 6 THEN ask_bps_06 - ask_x_mean ELSE 0 END AS ask_x_06,
        CASE WHEN fit_levels > 7 THEN ask_bps_07 - ask_x_mean ELSE 0 END AS ask_x_07,
        CASE WHEN fit_levels > 8 THEN ask_bps_08 - ask_x_mean ELSE 0 END AS ask_x_08,
        CASE WHEN fit_levels > 9 THEN ask_bps_09 - ask_x_mean ELSE 0 END AS ask_x_09
,
        (bid_notional + ask_notional) / nullif(bid_depth_19 + ask_depth_19, 0) AS center_of_gravity
    FROM sums;

CREATE OR REPLACE VIEW compiled_orderbook_hf.kernel_input AS
SELECT
    exchange,
    symbol,
    date,
    ts, -- UTC, ns: exchange time, else time of collection
    seq, -- 1: position of the row in its partition, in file order
    CAST(hour(ts) AS SMALLINT) AS hour_of_day, -- h: 0 to 23, UTC
    CAST(minute(ts) AS SMALLINT) AS minute_of_hour, -- min: 0 to 59, UTC
    CAST(isodow(ts) - 1 AS SMALLINT) AS day_of_week, -- 1: 0 is Monday, 6 is Sunday, UTC
    isodow(ts) >= 6 AS is_weekend, -- flag: Saturday or Sunday, UTC
    book_state, -- name: empty, one_sided, locked (ask = bid), crossed (ask < bid) or ok
    bid_levels, -- 1: bid levels after cleaning, at most 20; NULL without a list
    ask_levels, -- 1: ask levels after cleaning, at most 20; NULL without a list
    bid_levels < 1 AS bid_is_whole, -- flag: the bid levels are all there are; false where the side may go on
    ask_levels < 1 AS ask_is_whole, -- flag: the ask levels are all there are; false where the side may go on
    bid_price_00, -- q: price of bid level 0
    bid_size_00, -- u: size of bid level 0
    ask_price_00, -- q: price of ask level 0
    ask_size_00, -- u: size of ask level 0
    bid_price_01, -- q: price of bid level 1
    bid_size_01, -- u: size of bid level 1
    ask_price_01, -- q: price of ask level 1
    ask_size_01, -- u: size of ask level 1
    bid_price_02, -- q: price of bid level 2
    bid_size_02, -- u: size of bid level 2
    ask_price_02, -- q: price of ask level 2
    ask_size_02, -- u: size of ask level 2
    bid_price_03, -- q: price of bid level 3
    bid_size_03, -- u: size of bid level 3
    ask_price_03, -- q: price of ask level 3
    ask_size_03, -- u: size of ask level 3
    bid_price_04, -- q: price of bid level 4
    bid_size_04, -- u: size of bid level 4
    ask_price_04, -- q: price of ask level 4
    ask_size_04, -- u: size of ask level 4
    bid_price_05, -- q: price of bid level 5
    bid_size_05, -- u: size of bid level 5
    ask_price_05, -- q: price of ask level 5
    ask_size_05, -- u: size of ask level 5
    bid_price_06, -- q: price of bid level 6
    bid_size_06, -- u: size of bid level 6
    ask_price_06, -- q: price of ask level 6
    ask_size_06, -- u: size of ask level 6
    bid_price_07, -- q: price of bid level 7
    bid_size_07, -- u: size of bid level 7
    ask_price_07, -- q: price of ask level 7
    ask_size_07, -- u: size of ask level 7
    bid_price_08, -- q: price of bid level 8
    bid_size_08, -- u: size of bid level 8
    ask_price_08, -- q: price of ask level 8
    ask_size_08, -- u: size of ask level 8
    bid_price_09, -- q: price of bid level 9
    bid_size_09, -- u: size of bid level 9
    ask_price_09, -- q: price of ask level 9
    ask_size_09, -- u: size of ask level 9
    bid_price_10, -- q: price of bid level 10
    bid_size_10, -- u: size of bid level 10
    ask_price_10, -- q: price of ask level 10
    ask_size_10, -- u: size of ask level 10
    bid_price_11, -- q: price of bid level 11
    bid_size_11, -- u: size of bid level 11
    ask_price_11, -- q: price of ask level 11
    ask_size_11, -- u: size of ask level 11
    bid_price_12, -- q: price of bid level 12
    bid_size_12, -- u: size of bid level 12
    ask_price_12, -- q: price of ask level 12
    ask_size_12, -- u: size of ask level 12
    bid_price_13, -- q: price of bid level 13
    bid_size_13, -- u: size of bid level 13
    ask_price_13, -- q: price of ask level 13
    ask_size_13, -- u: size of ask level 13
    bid_price_14, -- q: price of bid level 14
    bid_size_14, -- u: size of bid level 14
    ask_price_14, -- q: price of ask level 14
    ask_size_14, -- u: size of ask level 14
    bid_price_15, -- q: price of bid level 15
    bid_size_15, -- u: size of bid level 15
    ask_price_15, -- q: price of ask level 15
    ask_size_15, -- u: size of ask level 15
    bid_price_16, -- q: price of bid level 16
    bid_size_16, -- u: size of bid level 16
    ask_price_16, -- q: price of ask level 16
    ask_size_16, -- u: size of ask level 16
    bid_price_17, -- q: price of bid level 17
    bid_size_17, -- u: size of bid level 17
    ask_price_17, -- q: price of ask level 17
    ask_size_17, -- u: size of ask level 17
    bid_price_18, -- q: price of bid level 18
    bid_size_18, -- u: size of bid level 18
    ask_price_18, -- q: price of ask level 18
    ask_size_18, -- u: size of ask level 18
    bid_price_19, -- q: price of bid level 19
    bid_size_19, -- u: size of bid level 19
    ask_price_19, -- q: price of ask level 19
    ask_size_19, -- u: size of ask level 19
    best_bid, -- q: highest bid, bid_price_00
    best_ask, -- q: lowest ask, ask_price_00
    mid_price, -- q: (best_bid + best_ask) / 2, NULL where crossed
    spread, -- q: best_ask - best_bid, negative where crossed
    spread / positive_mid AS relative_spread, -- 1: spread / mid_price
    1e4 * spread / positive_mid AS spread_bps, -- bps: 1e4 * spread / mid_price
    (best_bid * ask_size_00 + best_ask * bid_size_00) / nullif(bid_size_00 + ask_size_00, 0)
        AS microprice, -- q: (best_bid * ask_size_00 + best_ask * bid_size_00) / (bid_size_00 + ask_size_00) [Gatheral 2010]
    -- The same as microprice - mid_price, which would cancel.
    CASE WHEN mid_price IS NOT NULL THEN spread / 2 * (bid_size_00 - ask_size_00) / nullif((bid_size_00 + ask_size_00), 0) END
        AS micro_minus_mid, -- q: spread / 2 * (bid_size_00 - ask_size_00) / (bid_size_00 + ask_size_00) [Gatheral 2010]
    (bid_depth_00 - ask_depth_00) / nullif(bid_depth_00 + ask_depth_00, 0)
        AS imbalance_top1, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 1 levels, -1 to 1
    (bid_depth_02 - ask_depth_02) / nullif(bid_depth_02 + ask_depth_02, 0)
        AS imbalance_top3, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 3 levels, -1 to 1
    (bid_depth_04 - ask_depth_04) / nullif(bid_depth_04 + ask_depth_04, 0)
        AS imbalance_top5, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 5 levels, -1 to 1
    (bid_depth_09 - ask_depth_09) / nullif(bid_depth_09 + ask_depth_09, 0)
        AS imbalance_top10, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 10 levels, -1 to 1
    CASE WHEN bid_levels = 0 THEN 0 ELSE bid_depth_19 END
        AS total_bid_depth, -- u: sum of the sizes of all bid levels, 0 where the list is empty
    CASE WHEN ask_levels = 0 THEN 0 ELSE ask_depth_19 END
        AS total_ask_depth, -- u: sum of the sizes of all ask levels, 0 where the list is empty
    (bid_depth_19 - ask_depth_19) / nullif(bid_depth_19 + ask_depth_19, 0)
        AS total_imbalance, -- 1: (total_bid_depth - total_ask_depth) / (total_bid_depth + total_ask_depth), -1 to 1
    bid_best_notional / nullif(bid_depth_04, 0)
        AS vwap_bid_top5, -- q: sum of price * size / sum of size of the best 5 bid levels
    ask_best_notional / nullif(ask_depth_04, 0)
        AS vwap_ask_top5, -- q: sum of price * size / sum of size of the best 5 ask levels
    vwap_ask_top5 - vwap_bid_top5 AS vwap_spread_top5, -- q: vwap_ask_top5 - vwap_bid_top5
    smart_bid_depth, -- u: sum of size * exp(-100 * abs(price / mid_price - 1)) of the best 20 bid levels
    smart_ask_depth, -- u: sum of size * exp(-100 * abs(price / mid_price - 1)) of the best 20 ask levels
    (smart_bid_depth - smart_ask_depth) / nullif(smart_bid_depth + smart_ask_depth, 0)
        AS smart_depth_imbalance, -- 1: (smart_bid_depth - smart_ask_depth) / (smart_bid_depth + smart_ask_depth), -1 to 1
    abs(bid_price_00 - bid_price_04) / nullif(bid_depth_04, 0)
        AS bid_slope_top5, -- q/u: abs(price of level 4 - bid_price_00) / depth of the best 5 bid levels [cf. Naes 2006]
    abs(ask_price_00 - ask_price_04) / nullif(ask_depth_04, 0)
        AS ask_slope_top5, -- q/u: abs(price of level 4 - ask_price_00) / depth of the best 5 ask levels [cf. Naes 2006]
    bid_slope_top5 / nullif(ask_slope_top5, 0)
        AS slope_asymmetry_top5, -- 1: bid_slope_top5 / ask_slope_top5
    (
        bid_x_00 * bid_depth_00 + bid_x_01 * bid_depth_01
        + bid_x_02 * bid_depth_02 + bid_x_03 * bid_depth_03
        + bid_x_04 * bid_depth_04 + bid_x_05 * bid_depth_05
        + bid_x_06 * bid_depth_06 + bid_x_07 * bid_depth_07
        + bid_x_08 * bid_depth_08 + bid_x_09 * bid_depth_09
    ) / nullif(
        bid_x_00 * bid_x_00 + bid_x_01 * bid_x_01
        + bid_x_02 * bid_x_02 + bid_x_03 * bid_x_03
        + bid_x_04 * bid_x_04 + bid_x_05 * bid_x_05
        + bid_x_06 * bid_x_06 + bid_x_07 * bid_x_07
        + bid_x_08 * bid_x_08 + bid_x_09 * bid_x_09,
        0
    )
        AS bid_slope_regression, -- u/bps: least squares slope of depth up to a level on its distance from mid_price, 3 to 10 bid levels
    (
        ask_x_00 * ask_depth_00 + ask_x_01 * ask_depth_01
        + ask_x_02 * ask_depth_02 + ask_x_03 * ask_depth_03
        + ask_x_04 * ask_depth_04 + ask_x_05 * ask_depth_05
        + ask_x_06 * ask_depth_06 + ask_x_07 * ask_depth_07
        + ask_x_08 * ask_depth_08 + ask_x_09 * ask_depth_09
    ) / nullif(
        ask_x_00 * ask_x_00 + ask_x_01 * ask_x_01
        + ask_x_02 * ask_x_02 + ask_x_03 * ask_x_03
        + ask_x_04 * ask_x_04 + ask_x_05 * ask_x_05
        + ask_x_06 * ask_x_06 + ask_x_07 * ask_x_07
        + ask_x_08 * ask_x_08 + ask_x_09 * ask_x_09,
        0
    )
        AS ask_slope_regression, -- u/bps: least squares slope of depth up to a level on its distance from mid_price, 3 to 10 ask levels
    center_of_gravity, -- q: sum of price * size / sum of size of the best 20 levels of both sides
    1e4 * (center_of_gravity - positive_mid) / positive_mid AS cog_vs_mid, -- bps: 1e4 * (center_of_gravity - mid_price) / mid_price
    bid_size_04 / nullif(bid_size_00, 0)
        AS bid_depth_decay_top5, -- 1: size of bid level 4 / bid_size_00
    ask_size_04 / nullif(ask_size_00, 0)
        AS ask_depth_decay_top5, -- 1: size of ask level 4 / ask_size_00
    (bid_depth_decay_top5 + ask_depth_decay_top5) / 2
        AS avg_depth_decay_top5, -- 1: mean of bid_depth_decay_top5 and ask_depth_decay_top5
    (
        bid_amount_00 * bid_amount_00 + bid_amount_01 * bid_amount_01
        + bid_amount_02 * bid_amount_02 + bid_amount_03 * bid_amount_03
        + bid_amount_04 * bid_amount_04 + bid_amount_05 * bid_amount_05
        + bid_amount_06 * bid_amount_06 + bid_amount_07 * bid_amount_07
        + bid_amount_08 * bid_amount_08 + bid_amount_09 * bid_amount_09
        + bid_amount_10 * bid_amount_10 + bid_amount_11 * bid_amount_11
        + bid_amount_12 * bid_amount_12 + bid_amount_13 * bid_amount_13
        + bid_amount_14 * bid_amount_14 + bid_amount_15 * bid_amount_15
        + bid_amount_16 * bid_amount_16 + bid_amount_17 * bid_amount_17
        + bid_amount_18 * bid_amount_18 + bid_amount_19 * bid_amount_19
    ) / bid_depth_19 / bid_depth_19
        AS bid_concentration, -- 1: sum of (size / total_bid_depth)^2, up to 1: Herfindahl index of the bid sizes
    (
        ask_amount_00 * ask_amount_00 + ask_amount_01 * ask_amount_01
        + ask_amount_02 * ask_amount_02 + ask_amount_03 * ask_amount_03
        + ask_amount_04 * ask_amount_04 + ask_amount_05 * ask_amount_05
        + ask_amount_06 * ask_amount_06 + ask_amount_07 * ask_amount_07
        + ask_amount_08 * ask_amount_08 + ask_amount_09 * ask_amount_09
        + ask_amount_10 * ask_amount_10 + ask_amount_11 * ask_amount_11
        + ask_amount_12 * ask_amount_12 + ask_amount_13 * ask_amount_13
        + ask_amount_14 * ask_amount_14 + ask_amount_15 * ask_amount_15
        + ask_amount_16 * ask_amount_16 + ask_amount_17 * ask_amount_17
        + ask_amount_18 * ask_amount_18 + ask_amount_19 * ask_amount_19
    ) / ask_depth_19 / ask_depth_19
        AS ask_concentration, -- 1: sum of (size / total_ask_depth)^2, up to 1: Herfindahl index of the ask sizes
    bid_within_5bps
        AS bid_vol_band_0_5bps, -- u: bid depth from 0 to 5 bps from mid_price, NULL if cut off
    ask_within_5bps
        AS ask_vol_band_0_5bps, -- u: ask depth from 0 to 5 bps from mid_price, NULL if cut off
    (bid_vol_band_0_5bps - ask_vol_band_0_5bps) / nullif(bid_vol_band_0_5bps + ask_vol_band_0_5bps, 0)
        AS imb_band_0_5bps, -- 1: (bid - ask) / (bid + ask) of the depths from 0 to 5 bps, -1 to 1
    bid_within_10bps - bid_within_5bps
        AS bid_vol_band_5_10bps, -- u: bid depth from 5 to 10 bps from mid_price, NULL if cut off
    ask_within_10bps - ask_within_5bps
        AS ask_vol_band_5_10bps, -- u: ask depth from 5 to 10 bps from mid_price, NULL if cut off
    (bid_vol_band_5_10bps - ask_vol_band_5_10bps) / nullif(bid_vol_band_5_10bps + ask_vol_band_5_10bps, 0)
        AS imb_band_5_10bps, -- 1: (bid - ask) / (bid + ask) of the depths from 5 to 10 bps, -1 to 1
    bid_within_25bps - bid_within_10bps
        AS bid_vol_band_10_25bps, -- u: bid depth from 10 to 25 bps from mid_price, NULL if cut off
    ask_within_25bps - ask_within_10bps
        AS ask_vol_band_10_25bps, -- u: ask depth from 10 to 25 bps from mid_price, NULL if cut off
    (bid_vol_band_10_25bps - ask_vol_band_10_25bps) / nullif(bid_vol_band_10_25bps + ask_vol_band_10_25bps, 0)
        AS imb_band_10_25bps, -- 1: (bid - ask) / (bid + ask) of the depths from 10 to 25 bps, -1 to 1
    bid_within_50bps - bid_within_25bps
        AS bid_vol_band_25_50bps, -- u: bid depth from 25 to 50 bps from mid_price, NULL if cut off
    ask_within_50bps - ask_within_25bps
        AS ask_vol_band_25_50bps, -- u: ask depth from 25 to 50 bps from mid_price, NULL if cut off
    (bid_vol_band_25_50bps - ask_vol_band_25_50bps) / nullif(bid_vol_band_25_50bps + ask_vol_band_25_50bps, 0)
        AS imb_band_25_50bps, -- 1: (bid - ask) / (bid + ask) of the depths from 25 to 50 bps, -1 to 1
    bid_within_100bps - bid_within_50bps
        AS bid_vol_band_50_100bps, -- u: bid depth from 50 to 100 bps from mid_price, NULL if cut off
    ask_within_100bps - ask_within_50bps
        AS ask_vol_band_50_100bps, -- u: ask depth from 50 to 100 bps from mid_price, NULL if cut off
    (bid_vol_band_50_100bps - ask_vol_band_50_100bps) / nullif(bid_vol_band_50_100bps + ask_vol_band_50_100bps, 0)
        AS imb_band_50_100bps, -- 1: (bid - ask) / (bid + ask) of the depths from 50 to 100 bps, -1 to 1
    (bid_within_5bps + ask_within_5bps)
        AS depth_0_5bps, -- u: depth of both sides within 5 bps of mid_price, NULL if cut off
    spread / nullif(depth_0_5bps, 0)
        AS lambda_like, -- q/u: spread / depth_0_5bps: a proxy of price impact
    spread / nullif((bid_within_10bps + ask_within_10bps), 0)
        AS amihud_like, -- q/u: spread / depth of both sides within 10 bps: a proxy of illiquidity
    depth_0_5bps / nullif((bid_within_50bps + ask_within_50bps), 0)
        AS book_convexity, -- 1: depth_0_5bps / depth of both sides within 50 bps, 0 to 1
    CAST(CASE
        WHEN bid_depth_00 >= bid_half_depth THEN 0 WHEN bid_depth_01 >= bid_half_depth THEN 1
        WHEN bid_depth_02 >= bid_half_depth THEN 2 WHEN bid_depth_03 >= bid_half_depth THEN 3
        WHEN bid_depth_04 >= bid_half_depth THEN 4 WHEN bid_depth_05 >= bid_half_depth THEN 5
        WHEN bid_depth_06 >= bid_half_depth THEN 6 WHEN bid_depth_07 >= bid_half_depth THEN 7
        WHEN bid_depth_08 >= bid_half_depth THEN 8 WHEN bid_depth_09 >= bid_half_depth THEN 9
        WHEN bid_depth_10 >= bid_half_depth THEN 10 WHEN bid_depth_11 >= bid_half_depth THEN 11
        WHEN bid_depth_12 >= bid_half_depth THEN 12 WHEN bid_depth_13 >= bid_half_depth THEN 13
        WHEN bid_depth_14 >= bid_half_depth THEN 14 WHEN bid_depth_15 >= bid_half_depth THEN 15
        WHEN bid_depth_16 >= bid_half_depth THEN 16 WHEN bid_depth_17 >= bid_half_depth THEN 17
        WHEN bid_depth_18 >= bid_half_depth THEN 18 WHEN bid_depth_19 >= bid_half_depth THEN 19
    END AS SMALLINT)
        AS bid_50pct_depth_levels, -- 1: index of the first level at which half of total_bid_depth is reached
    CAST(CASE
        WHEN ask_depth_00 >= ask_half_depth THEN 0 WHEN ask_depth_01 >= ask_half_depth THEN 1
        WHEN ask_depth_02 >= ask_half_depth THEN 2 WHEN ask_depth_03 >= ask_half_depth THEN 3
        WHEN ask_depth_04 >= ask_half_depth THEN 4 WHEN ask_depth_05 >= ask_half_depth THEN 5
        WHEN ask_depth_06 >= ask_half_depth THEN 6 WHEN ask_depth_07 >= ask_half_depth THEN 7
        WHEN ask_depth_08 >= ask_half_depth THEN 8 WHEN ask_depth_09 >= ask_half_depth THEN 9
        WHEN ask_depth_10 >= ask_half_depth THEN 10 WHEN ask_depth_11 >= ask_half_depth THEN 11
        WHEN ask_depth_12 >= ask_half_depth THEN 12 WHEN ask_depth_13 >= ask_half_depth THEN 13
        WHEN ask_depth_14 >= ask_half_depth THEN 14 WHEN ask_depth_15 >= ask_half_depth THEN 15
        WHEN ask_depth_16 >= ask_half_depth THEN 16 WHEN ask_depth_17 >= ask_half_depth THEN 17
        WHEN ask_depth_18 >= ask_half_depth THEN 18 WHEN ask_depth_19 >= ask_half_depth THEN 19
    END AS SMALLINT)
        AS ask_50pct_depth_levels -- 1: index of the first level at which half of total_ask_depth is reached
FROM centred;

-- Kernels see each of these before the first row that is not earlier.
CREATE OR REPLACE VIEW compiled_orderbook_hf.kernel_trades AS
SELECT
    ts,
    price,
    amount,
    side
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

-- kernel segments, version 3: Segments between gaps, and their age
--   options max_gap = 300
--   reads ts
--   passes on segment_start: smallint; 1: 1 on the first row of a segment
--   gives segment_age_s: double; s: since the segment started; a window of h seconds is warm from h on
-- kernel returns, version 2: Log return, velocity and acceleration of the mid, row by row
--   options max_gap = 300
--   reads ts, segment_start, mid_price
--   gives log_return: double; 1: ln(mid / mid of the valid row before); NULL where either is not above 0
--   gives mid_velocity: double; q/s: change of the mid per second since the valid row before
--   gives mid_accel: double; q/s2: change of mid_velocity over the mean of the two time steps
-- kernel ofi, version 3: Order flow imbalance of the best level, its rolling sums (Cont, Kukanov, Stoikov 2014), and the same by price
--   options ofi_price = True, horizons = [5, 15, 60, 300, 900], max_gap = 300
--   reads ts, segment_start, mid_price, bid_price_00, bid_size_00, ask_price_00, ask_size_00, bid_price_01,
--         bid_size_01, bid_price_02, bid_size_02, bid_price_03, bid_size_03, bid_price_04, bid_size_04,
--         bid_price_05, bid_size_05, bid_price_06, bid_size_06, bid_price_07, bid_size_07, bid_price_08,
--         bid_size_08, bid_price_09, bid_size_09, bid_price_10, bid_size_10, bid_price_11, bid_size_11,
--         bid_price_12, bid_size_12, bid_price_13, bid_size_13, bid_price_14, bid_size_14, bid_price_15,
--         bid_size_15, bid_price_16, bid_size_16, bid_price_17, bid_size_17, bid_price_18, bid_size_18,
--         bid_price_19, bid_size_19, ask_price_01, ask_size_01, ask_price_02, ask_size_02, ask_price_03,
--         ask_size_03, ask_price_04, ask_size_04, ask_price_05, ask_size_05, ask_price_06, ask_size_06,
--         ask_price_07, ask_size_07, ask_price_08, ask_size_08, ask_price_09, ask_size_09, ask_price_10,
--         ask_size_10, ask_price_11, ask_size_11, ask_price_12, ask_size_12, ask_price_13, ask_size_13,
--         ask_price_14, ask_size_14, ask_price_15, ask_size_15, ask_price_16, ask_size_16, ask_price_17,
--         ask_size_17, ask_price_18, ask_size_18, ask_price_19, ask_size_19, bid_is_whole, ask_is_whole
--   gives ofi: double; u: order flow imbalance: B if b > b', B - B' if b = b', -B' if b < b', less the ask's mirror image [Cont 2014]
--   gives ofi_price: double; u: sum of B - B' over prices from min(b, b') on, less the ask's mirror image; NULL if cut off
--   gives ofi_sum_5s: double; u: sum of ofi over 5 s [Cont 2014]
--   gives ofi_sum_15s: double; u: sum of ofi over 15 s [Cont 2014]
--   gives ofi_sum_60s: double; u: sum of ofi over 60 s [Cont 2014]
--   gives ofi_sum_300s: double; u: sum of ofi over 300 s [Cont 2014]
--   gives ofi_sum_900s: double; u: sum of ofi over 900 s [Cont 2014]
-- kernel mlofi, version 2: Order flow imbalance per level, and summed over levels (Xu, Gould, Howison 2019)
--   options ofi_levels = 10, mlofi_decay = 0.5, horizons = [5, 15, 60, 300, 900], max_gap = 300
--   reads ts, segment_start, mid_price, bid_price_00, bid_size_00, ask_price_00, ask_size_00, bid_price_01,
--         bid_size_01, ask_price_01, ask_size_01, bid_price_02, bid_size_02, ask_price_02, ask_size_02,
--         bid_price_03, bid_size_03, ask_price_03, ask_size_03, bid_price_04, bid_size_04, ask_price_04,
--         ask_size_04, bid_price_05, bid_size_05, ask_price_05, ask_size_05, bid_price_06, bid_size_06,
--         ask_price_06, ask_size_06, bid_price_07, bid_size_07, ask_price_07, ask_size_07, bid_price_08,
--         bid_size_08, ask_price_08, ask_size_08, bid_price_09, bid_size_09, ask_price_09, ask_size_09
--   gives ofi_01: double; u: order flow imbalance of level 1, as ofi of level 0 [Xu 2019]
--   gives ofi_02: double; u: order flow imbalance of level 2, as ofi of level 0 [Xu 2019]
--   gives ofi_03: double; u: order flow imbalance of level 3, as ofi of level 0 [Xu 2019]
--   gives ofi_04: double; u: order flow imbalance of level 4, as ofi of level 0 [Xu 2019]
--   gives ofi_05: double; u: order flow imbalance of level 5, as ofi of level 0 [Xu 2019]
--   gives ofi_06: double; u: order flow imbalance of level 6, as ofi of level 0 [Xu 2019]
--   gives ofi_07: double; u: order flow imbalance of level 7, as ofi of level 0 [Xu 2019]
--   gives ofi_08: double; u: order flow imbalance of level 8, as ofi of level 0 [Xu 2019]
--   gives ofi_09: double; u: order flow imbalance of level 9, as ofi of level 0 [Xu 2019]
--   gives mlofi: double; u: sum of exp(-0.5 i) * order flow imbalance of level i < 10 [cf. Xu 2019]
--   gives ofi_multi: double; u: sum of the order flow imbalance of 10 levels [cf. Xu 2019]
--   gives mlofi_sum_5s: double; u: sum of mlofi over 5 s [cf. Xu 2019]
--   gives mlofi_sum_15s: double; u: sum of mlofi over 15 s [cf. Xu 2019]
--   gives mlofi_sum_60s: double; u: sum of mlofi over 60 s [cf. Xu 2019]
--   gives mlofi_sum_300s: double; u: sum of mlofi over 300 s [cf. Xu 2019]
--   gives mlofi_sum_900s: double; u: sum of mlofi over 900 s [cf. Xu 2019]
-- kernel tfi, version 2: Trade flow imbalance (TFI) by row and over windows
--   options horizons = [5, 15, 60, 300, 900], sign = 'aggressor'
--   reads ts, segment_start, kernel_trades
--   gives buy_volume: double; u: volume that takers bought since the row before
--   gives sell_volume: double; u: volume that takers sold since the row before
--   gives trade_volume: double; u: traded since the row before, unknown sides too
--   gives tfi: double; 1: (buy_volume - sell_volume) / (buy_volume + sell_volume), -1 to 1
--   gives tfi_5s: double; 1: (bought - sold) / (bought + sold) over 5 s, -1 to 1
--   gives trade_vol_5s: double; u: traded in 5 s, unknown sides too; NULL before the first trade
--   gives tfi_15s: double; 1: (bought - sold) / (bought + sold) over 15 s, -1 to 1
--   gives trade_vol_15s: double; u: traded in 15 s, unknown sides too; NULL before the first trade
--   gives tfi_60s: double; 1: (bought - sold) / (bought + sold) over 60 s, -1 to 1
--   gives trade_vol_60s: double; u: traded in 60 s, unknown sides too; NULL before the first trade
--   gives tfi_300s: double; 1: (bought - sold) / (bought + sold) over 300 s, -1 to 1
--   gives trade_vol_300s: double; u: traded in 300 s, unknown sides too; NULL before the first trade
--   gives tfi_900s: double; 1: (bought - sold) / (bought + sold) over 900 s, -1 to 1
--   gives trade_vol_900s: double; u: traded in 900 s, unknown sides too; NULL before the first trade
-- kernel vpin, version 2: Volume-synchronised probability of informed trading (VPIN)
--   options sign = 'aggressor', enable_vpin = True, vpin_bucket_volume = 'adv/50', vpin_window_buckets = 50,
--           vpin_classification = 'aggressor', vpin_bulk_seconds = 60, vpin_bulk_bars = 50, lot_size = 1e-08, max_gap
--           = 300
--   reads ts, segment_start, kernel_trades
--   gives vpin: double; 1: mean of abs(bought - sold) / volume over the last 50 full buckets, 0 to 1 [Easley 2012]
-- kernel kyle_lambda, version 2: Kyle's lambda: price impact of signed trade volume
--   options kyle_window = 300, sign = 'aggressor'
--   reads ts, segment_start, mid_price, kernel_trades
--   gives kyle_lambda: double; q/u: Cov(mid_price change, signed volume) / Var(signed volume) of steps of 1 s over 300 s [Kyle 1985]
-- kernel ofi_impact, version 2: Rolling regression of log_return on ofi (Cont, Kukanov, Stoikov 2014)
--   options impact_window = 300
--   reads ts, segment_start, log_return, ofi
--   gives ofi_impact: double; 1/u: Cov(log_return, ofi) / Var(ofi) over 300 s [Cont 2014]
--   gives ofi_impact_r2: double; 1: squared correlation of log_return and ofi over 300 s, 0 to 1 [Cont 2014]
-- kernel rolling, version 2: Rolling means and standard deviations of returns, spreads, slopes and depths
--   options horizons = [5, 15, 60, 300, 900], slope_window = 60, depth_window = 300
--   reads ts, segment_start, log_return, relative_spread, bid_slope_regression, ask_slope_regression, cog_vs_mid,
--         depth_0_5bps, bid_size_00, ask_size_00
--   gives mean_return_5s: double; 1: mean of log_return over 5 s
--   gives mean_return_15s: double; 1: mean of log_return over 15 s
--   gives mean_return_60s: double; 1: mean of log_return over 60 s
--   gives mean_return_300s: double; 1: mean of log_return over 300 s
--   gives mean_return_900s: double; 1: mean of log_return over 900 s
--   gives ret_std_5s: double; 1: sample standard deviation of log_return over 5 s
--   gives ret_std_15s: double; 1: sample standard deviation of log_return over 15 s
--   gives ret_std_60s: double; 1: sample standard deviation of log_return over 60 s
--   gives ret_std_300s: double; 1: sample standard deviation of log_return over 300 s
--   gives ret_std_900s: double; 1: sample standard deviation of log_return over 900 s
--   gives rv_5s: double; 1: square root of the sum of squares of log_return over 5 s
--   gives rv_15s: double; 1: square root of the sum of squares of log_return over 15 s
--   gives rv_60s: double; 1: square root of the sum of squares of log_return over 60 s
--   gives rv_300s: double; 1: square root of the sum of squares of log_return over 300 s
--   gives rv_900s: double; 1: square root of the sum of squares of log_return over 900 s
--   gives mean_relative_spread_5s: double; 1: mean of relative_spread over 5 s
--   gives mean_relative_spread_15s: double; 1: mean of relative_spread over 15 s
--   gives mean_relative_spread_60s: double; 1: mean of relative_spread over 60 s
--   gives mean_relative_spread_300s: double; 1: mean of relative_spread over 300 s
--   gives mean_relative_spread_900s: double; 1: mean of relative_spread over 900 s
--   gives mean_relative_spread_tw_5s: double; 1: mean of relative_spread over 5 s, by time
--   gives mean_relative_spread_tw_15s: double; 1: mean of relative_spread over 15 s, by time
--   gives mean_relative_spread_tw_60s: double; 1: mean of relative_spread over 60 s, by time
--   gives mean_relative_spread_tw_300s: double; 1: mean of relative_spread over 300 s, by time
--   gives mean_relative_spread_tw_900s: double; 1: mean of relative_spread over 900 s, by time
--   gives bid_slope_mean_60s: double; u/bps: mean of bid_slope_regression over 60 s
--   gives bid_slope_std_60s: double; u/bps: sample standard deviation of bid_slope_regression over 60 s
--   gives ask_slope_mean_60s: double; u/bps: mean of ask_slope_regression over 60 s
--   gives ask_slope_std_60s: double; u/bps: sample standard deviation of ask_slope_regression over 60 s
--   gives cog_momentum_mean_60s: double; bps: mean of cog_vs_mid over 60 s
--   gives cog_momentum_std_60s: double; bps: sample standard deviation of cog_vs_mid over 60 s
--   gives depth_0_5bps_sigma: double; u: sample standard deviation of depth_0_5bps over 300 s
--   gives depth_variance_300s: double; u2: sample variance of bid_size_00 + ask_size_00 over 300 s
--   gives depth_sigma_300s: double; u: sample standard deviation of bid_size_00 + ask_size_00 over 300 s
-- kernel spread_regime, version 1: Percentile of the spread in a rolling window, its regime and the time spent in each
--   options regime_window = 300, regime_mode = 'percentile', tight_percentile = 0.2, wide_percentile = 0.8, tight_bps
--           = 2.0, wide_bps = 10.0
--   reads ts, segment_start, spread, spread_bps, mid_price
--   gives spread_percentile: double; 1: share of the spreads of 300 s before this row below its own, ties half
--   gives spread_regime: varchar; name: tight where spread_percentile <= 0.2, wide where spread_percentile >= 0.8, else normal
--   gives spread_regime_tight_frac: double; 1: share of the time with a known regime in 300 s that was tight
--   gives spread_regime_wide_frac: double; 1: share of the time with a known regime in 300 s that was wide

COPY (
    SELECT *
    FROM kernel_rows
) TO 'target/tables/orderbook_hf' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 30720,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
