-- model:       liquidity_bars
-- description: Liquidity and volatility per time bar
-- template:    trades/liquidity_bars.sql.j2
-- inputs:      liquidity = trades_liquidity
--              book = ccxt_orderbook
-- options:     bar_durations = [60, 300, 900, 3600]
--              horizons = [1, 5, 60, 300]
--              window = 20
--              max_gap = 300.0
--              emit_open_bars = False
-- lookback:    172800 s
-- lookahead:   3900 s
-- publishes:   processed/ccxt/trades/liquidity_bars (overwrite), by exchange, symbol, date
-- fingerprint: cc2598d27bc41f4e269e78a9
-- stages:      liquidity_bars, line 655
--              measured, line 649
--              edges, line 636
--              products, line 627
--              shares, line 614
--              moves, line 601
--              logs, line 587
--              windows, line 572
--              members, line 553
--              reaches, line 547
--              shared, line 541
--              numbered, line 528
--              bars, line 522
--              seen, line 517
--              spreads, line 510
--              quoted, line 503
--              shown, line 495
--              held, line 485
--              quotes, line 478
--              located, line 469
--              ends, line 454
--              states, line 437
--              traded, line 393
--              neighbours, line 384
--              changes, line 377
--              binned, line 370
--              steps, line 358
--              segments, line 352
--              gaps, line 343
--              valid, line 338
--              book, line 70
--              liquidity, line 57
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/liquidity_bars, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_liquidity_bars.liquidity_bars LIMIT 10, or just FROM liquidity_bars where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_liquidity_bars;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_liquidity_bars".main';

CREATE OR REPLACE VIEW compiled_liquidity_bars.liquidity AS
SELECT
    exchange, symbol, date,
    * EXCLUDE (exchange, symbol, date)
FROM read_parquet(
    [
        'lake/processed/ccxt/trades/liquidity/**/*.parquet'
    ],
    union_by_name = true,
    hive_types = {'exchange': VARCHAR, 'symbol': VARCHAR, 'date': DATE},
    hive_partitioning = TRUE
);

CREATE OR REPLACE VIEW compiled_liquidity_bars.book AS
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

CREATE OR REPLACE VIEW compiled_liquidity_bars.valid AS
SELECT *
FROM liquidity
WHERE price IS NOT NULL AND amount IS NOT NULL;

CREATE OR REPLACE VIEW compiled_liquidity_bars.gaps AS
SELECT
    *,
    epoch_ns(ts) AS ns,
    row_number() OVER in_order AS place,
    false AS after_gap
FROM valid
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq);

CREATE OR REPLACE VIEW compiled_liquidity_bars.segments AS
SELECT
    *,
    0 AS segment
FROM gaps;

CREATE OR REPLACE VIEW compiled_liquidity_bars.steps AS
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

CREATE OR REPLACE VIEW compiled_liquidity_bars.binned AS
SELECT
    *,
    ns - ns % (bar_seconds * 1000000000) AS start_ns
FROM steps
CROSS JOIN (SELECT unnest([60, 300, 900, 3600]::BIGINT[]) AS bar_seconds) AS durations;

CREATE OR REPLACE VIEW compiled_liquidity_bars.changes AS
SELECT
    *,
    CASE WHEN lag(ns) OVER in_order >= epoch_ns(CAST(ts AS DATE) - 1) THEN price - lag(price) OVER in_order END AS change
FROM binned
WINDOW in_order AS (PARTITION BY exchange, symbol, bar_seconds ORDER BY place);

CREATE OR REPLACE VIEW compiled_liquidity_bars.neighbours AS
SELECT
    *,
    lag(change) OVER in_bar AS change_before,
    lag(step_return) OVER in_bar AS return_before,
    lead(step_return) OVER in_bar AS return_after
FROM changes
WINDOW in_bar AS (PARTITION BY exchange, symbol, bar_seconds, start_ns ORDER BY place);

CREATE OR REPLACE VIEW compiled_liquidity_bars.traded AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    arg_min(price, place) AS open,
    max(price) AS high,
    min(price) AS low,
    arg_max(price, place) AS close,
    sum(step_return * step_return) AS realized_variance,
    bool_or(after_gap) AS has_gap,
    max(ns) AS last_ns,
    sum(price * amount) AS dollar_volume,
    sum(sign * amount) AS signed_volume,
    sum(sign * sqrt(abs(price * amount))) AS signed_root,
    sum(neighbours.effective_spread_bps * amount) / nullif(sum(amount) FILTER (neighbours.effective_spread_bps IS NOT NULL), 0)
        AS effective_spread_bps,
    sum(neighbours.realized_spread_1s_bps * amount) / nullif(sum(amount) FILTER (neighbours.realized_spread_1s_bps IS NOT NULL), 0)
        AS realized_spread_1s_bps,
    sum(neighbours.price_impact_1s_bps * amount) / nullif(sum(amount) FILTER (neighbours.price_impact_1s_bps IS NOT NULL), 0)
        AS price_impact_1s_bps,
    sum(neighbours.realized_spread_5s_bps * amount) / nullif(sum(amount) FILTER (neighbours.realized_spread_5s_bps IS NOT NULL), 0)
        AS realized_spread_5s_bps,
    sum(neighbours.price_impact_5s_bps * amount) / nullif(sum(amount) FILTER (neighbours.price_impact_5s_bps IS NOT NULL), 0)
        AS price_impact_5s_bps,
    sum(neighbours.realized_spread_60s_bps * amount) / nullif(sum(amount) FILTER (neighbours.realized_spread_60s_bps IS NOT NULL), 0)
        AS realized_spread_60s_bps,
    sum(neighbours.price_impact_60s_bps * amount) / nullif(sum(amount) FILTER (neighbours.price_impact_60s_bps IS NOT NULL), 0)
        AS price_impact_60s_bps,
    sum(neighbours.realized_spread_300s_bps * amount) / nullif(sum(amount) FILTER (neighbours.realized_spread_300s_bps IS NOT NULL), 0)
        AS realized_spread_300s_bps,
    sum(neighbours.price_impact_300s_bps * amount) / nullif(sum(amount) FILTER (neighbours.price_impact_300s_bps IS NOT NULL), 0)
        AS price_impact_300s_bps,
    count(step_return) AS n,
    pi() / 2 * sum(abs(step_return) * abs(return_before)) AS bipower_variation,
    sum(power(greatest(
        least(abs(return_before), abs(step_return)),
        least(abs(return_after), greatest(abs(return_before), abs(step_return)))
    ), 2)) FILTER (return_before IS NOT NULL AND step_return IS NOT NULL AND return_after IS NOT NULL) AS median_squares,
    sum(power(step_return, 4)) AS fourth_powers,
    sum(power(step_return, 3)) AS third_powers,
    covar_samp(change, change_before) AS change_covariance,
    avg(change * change) AS mean_square_change
FROM neighbours
GROUP BY exchange, symbol, bar_seconds, start_ns;

CREATE OR REPLACE VIEW compiled_liquidity_bars.states AS
SELECT
    exchange, symbol,
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

CREATE OR REPLACE VIEW compiled_liquidity_bars.ends AS
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

CREATE OR REPLACE VIEW compiled_liquidity_bars.located AS
SELECT
    states.* EXCLUDE (ns_before),
    ends.place AS segment,
    ends.segment_end_ns
FROM states
ASOF JOIN ends
    ON states.exchange = ends.exchange AND states.symbol = ends.symbol AND states.place < ends.place;

CREATE OR REPLACE VIEW compiled_liquidity_bars.quotes AS
SELECT
    *,
    ns AS quote_ns
FROM located
WHERE mid_price IS NOT NULL AND NOT is_replaced;

CREATE OR REPLACE VIEW compiled_liquidity_bars.held AS
SELECT
    exchange,
    symbol,
    ns AS from_ns,
    lead(ns) OVER (PARTITION BY exchange, symbol, segment ORDER BY place) AS to_ns,
    1e4 * CASE WHEN mid_price > 0 THEN (best_ask - best_bid) / mid_price END AS spread_bps
FROM located;

-- A row of the book holds until the next one of its segment; bar by bar.
CREATE OR REPLACE VIEW compiled_liquidity_bars.shown AS
SELECT
    *,
    unnest(range(from_ns - from_ns % (bar_seconds * 1000000000), to_ns, bar_seconds * 1000000000)) AS start_ns
FROM held
CROSS JOIN (SELECT unnest([60, 300, 900, 3600]::BIGINT[]) AS bar_seconds) AS durations
WHERE spread_bps IS NOT NULL AND to_ns > from_ns;

CREATE OR REPLACE VIEW compiled_liquidity_bars.quoted AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    least(to_ns, start_ns + bar_seconds * 1000000000) - greatest(from_ns, start_ns) AS held_ns,
    spread_bps
FROM shown;

CREATE OR REPLACE VIEW compiled_liquidity_bars.spreads AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    sum(spread_bps * held_ns) / sum(held_ns) AS quoted_spread_bps
FROM quoted
GROUP BY exchange, symbol, bar_seconds, start_ns;

CREATE OR REPLACE VIEW compiled_liquidity_bars.seen AS
SELECT *
FROM traded
LEFT JOIN spreads USING (exchange, symbol, bar_seconds, start_ns);

CREATE OR REPLACE VIEW compiled_liquidity_bars.bars AS
SELECT
    *,
    CAST(make_timestamp_ns(start_ns) AS DATE) AS date
FROM seen;

CREATE OR REPLACE VIEW compiled_liquidity_bars.numbered AS
SELECT
    *,
    row_number() OVER in_order AS bar_number,
    lag(start_ns) OVER in_order AS start_before,
    lag(open) OVER in_order AS open_before,
    lag(high) OVER in_order AS high_before,
    lag(low) OVER in_order AS low_before,
    lag(close) OVER in_order AS close_before
FROM bars
WINDOW in_order AS (PARTITION BY exchange, symbol, bar_seconds ORDER BY start_ns);

-- Each bar once for every window that it is in, which is named by the number of its last bar.
CREATE OR REPLACE VIEW compiled_liquidity_bars.shared AS
SELECT
    *,
    unnest(range(bar_number, bar_number + 20)) AS window_bar
FROM numbered;

CREATE OR REPLACE VIEW compiled_liquidity_bars.reaches AS
SELECT
    exchange, symbol, bar_seconds, bar_number AS window_bar,
    epoch_ns(date - 2) AS since_ns -- a date sees no further back, however few bars a tape has
FROM numbered;

CREATE OR REPLACE VIEW compiled_liquidity_bars.members AS
SELECT
    *,
    start_before >= since_ns AS has_before,
    has_before AND bar_number > window_bar - 20 + 1 AS is_step, -- the bar before is in the window too
    CASE
        WHEN is_step AND low > 0 AND low_before > 0
        THEN 2 * tanh((1 + sqrt(2)) / 2 * (
            sqrt(power(ln(high / low), 2) + power(ln(high_before / low_before), 2))
            - ln(greatest(high, high_before) / least(low, low_before))
        ))
    END AS pair_spread,
    CASE WHEN close > 0 AND open > 0 THEN ln(close / open) END AS log_return,
    CASE WHEN has_before THEN close - close_before END AS close_change,
    CASE WHEN open > 0 THEN abs(close - open) / open END / dollar_volume AS illiquidity
FROM shared
JOIN reaches USING (exchange, symbol, bar_seconds, window_bar)
WHERE start_ns >= since_ns;

CREATE OR REPLACE VIEW compiled_liquidity_bars.windows AS
SELECT
    exchange, symbol, bar_seconds, window_bar,
    1e6 * avg(illiquidity) AS amihud,
    CASE
        WHEN regr_count(close_change, signed_volume) >= 20
            AND regr_sxx(close_change, signed_volume) > 1e-12 * sum(power(signed_volume, 2)) FILTER (close_change IS NOT NULL)
        THEN regr_slope(close_change, signed_volume)
    END AS kyle_lambda_bars,
    sum(signed_root * log_return) / nullif(sum(power(signed_root, 2)) FILTER (log_return IS NOT NULL), 0) AS hasbrouck_lambda,
    avg(pair_spread) AS corwin_schultz,
    avg(greatest(pair_spread, 0)) FILTER (pair_spread IS NOT NULL) AS corwin_schultz_clipped
FROM members
GROUP BY exchange, symbol, bar_seconds, window_bar;

CREATE OR REPLACE VIEW compiled_liquidity_bars.logs AS
SELECT
    exchange, symbol, bar_seconds, window_bar,
    ln(open) AS o,
    ln(high) AS h,
    ln(low) AS l,
    (h + l) / 2 AS m,
    ln(high_before) AS h1,
    ln(low_before) AS l1,
    ln(close_before) AS c1,
    (h1 + l1) / 2 AS m1
FROM members
WHERE is_step AND low > 0 AND low_before > 0;

CREATE OR REPLACE VIEW compiled_liquidity_bars.moves AS
SELECT
    exchange, symbol, bar_seconds, window_bar,
    h != l OR l != c1 AS trades,
    m - o AS r1,
    o - m1 AS r2,
    m - c1 AS r3,
    c1 - m1 AS r4,
    o - c1 AS r5,
    CAST(trades AND o != h AS INTEGER) + CAST(trades AND o != l AS INTEGER) AS at_open,
    CAST(trades AND c1 != h1 AS INTEGER) + CAST(trades AND c1 != l1 AS INTEGER) AS at_close
FROM logs;

CREATE OR REPLACE VIEW compiled_liquidity_bars.shares AS
SELECT
    exchange, symbol, bar_seconds, window_bar,
    avg(CAST(trades AS INTEGER)) AS pt,
    avg(at_open) AS po,
    avg(at_close) AS pc,
    avg(r1) AS mean_r1,
    avg(r3) AS mean_r3,
    avg(r5) AS mean_r5
FROM moves
GROUP BY exchange, symbol, bar_seconds, window_bar
HAVING sum(CAST(trades AS INTEGER)) >= 2 AND po > 0 AND pc > 0;

CREATE OR REPLACE VIEW compiled_liquidity_bars.products AS
SELECT
    *,
    CASE WHEN trades THEN 1 / pt ELSE 0 END AS weight,
    -4 / po * (r1 - mean_r1 * weight) * r2 - 4 / pc * (r3 - mean_r3 * weight) * r4 AS x1,
    -4 / po * (r1 - mean_r1 * weight) * r5 - 4 / pc * (r5 - mean_r5 * weight) * r4 AS x2
FROM moves
JOIN shares USING (exchange, symbol, bar_seconds, window_bar);

CREATE OR REPLACE VIEW compiled_liquidity_bars.edges AS
SELECT
    exchange, symbol, bar_seconds, window_bar,
    var_pop(x1) AS v1,
    var_pop(x2) AS v2,
    CASE
        WHEN v1 + v2 > 0 THEN (v2 * avg(x1) + v1 * avg(x2)) / (v1 + v2)
        ELSE (avg(x1) + avg(x2)) / 2
    END AS square,
    sqrt(abs(square)) AS edge
FROM products
GROUP BY exchange, symbol, bar_seconds, window_bar;

CREATE OR REPLACE VIEW compiled_liquidity_bars.measured AS
SELECT *
FROM (SELECT *, bar_number AS window_bar FROM numbered)
JOIN windows USING (exchange, symbol, bar_seconds, window_bar)
LEFT JOIN edges USING (exchange, symbol, bar_seconds, window_bar);

CREATE OR REPLACE VIEW compiled_liquidity_bars.liquidity_bars AS
SELECT
    exchange,
    symbol,
    date, -- UTC: date of bar_start
    bar_seconds, -- s: length of the bar
    make_timestamp_ns(start_ns) AS bar_start, -- UTC, ns: start of the bar, inclusive
    make_timestamp_ns(start_ns + bar_seconds * 1000000000) AS bar_end, -- UTC, ns: end, exclusive; known from then on
    effective_spread_bps, -- bps: mean of effective_spread_bps of the trades, weighted by size
    realized_spread_1s_bps, -- label: bps: mean of realized_spread_1s_bps of the trades, weighted by size
    price_impact_1s_bps, -- label: bps: mean of price_impact_1s_bps of the trades, weighted by size
    realized_spread_5s_bps, -- label: bps: mean of realized_spread_5s_bps of the trades, weighted by size
    price_impact_5s_bps, -- label: bps: mean of price_impact_5s_bps of the trades, weighted by size
    realized_spread_60s_bps, -- label: bps: mean of realized_spread_60s_bps of the trades, weighted by size
    price_impact_60s_bps, -- label: bps: mean of price_impact_60s_bps of the trades, weighted by size
    realized_spread_300s_bps, -- label: bps: mean of realized_spread_300s_bps of the trades, weighted by size
    price_impact_300s_bps, -- label: bps: mean of price_impact_300s_bps of the trades, weighted by size
    quoted_spread_bps, -- bps: mean of 1e4 * spread / mid_price of the book, weighted by time
    bipower_variation, -- 1: pi / 2 * sum of abs(r) * abs(r before), r: log returns of the trades [Barndorff-Nielsen 2004]
    CASE WHEN n > 2 THEN pi() / (6 - 4 * sqrt(3) + pi()) * n / (n - 2) * median_squares END
        AS med_rv, -- 1: pi / (6 - 4 * sqrt(3) + pi) * n / (n - 2) * sum of squared medians of three abs(r) [Andersen 2012]
    n / 3 * fourth_powers AS realized_quarticity, -- 1: n / 3 * sum of r^4, n: number of returns [Barndorff-Nielsen 2004]
    sqrt(n) * third_powers / nullif(power(realized_variance, 1.5), 0)
        AS realized_skewness, -- 1: sqrt(n) * sum of r^3 / (sum of r^2)^1.5 [Amaya 2015]
    CASE WHEN change_covariance < -1e-12 * mean_square_change THEN 2 * sqrt(-change_covariance) END
        AS roll_spread, -- q: 2 * sqrt(-covariance of a price change and the one before), NULL where that is not below 0 [Roll 1984]
    amihud, -- 1/(q*u): 1e6 * mean of abs(return) / dollar_volume over 20 bars [Amihud 2002]
    kyle_lambda_bars, -- q/u: slope of the change of close on signed volume over 20 bars [cf. Kyle 1985]
    hasbrouck_lambda, -- 1: slope through 0 of log_return on the sum of signed sqrt(price * size) over 20 bars [Hasbrouck 2009]
    corwin_schultz, -- 1: relative spread from highs and lows, mean over pairs of bars in 20 bars [Corwin 2012]
    corwin_schultz_clipped, -- 1: the same where a pair below 0 counts as 0 [Corwin 2012]
    edge -- 1: relative spread from open, high, low and close over 20 bars [Ardia 2024]
FROM measured
QUALIFY start_ns + bar_seconds * 1000000000 <= max(last_ns) OVER (PARTITION BY exchange, symbol)
ORDER BY exchange, symbol, bar_seconds, bar_start;

COPY (
    FROM compiled_liquidity_bars.liquidity_bars
) TO 'target/tables/liquidity_bars' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
