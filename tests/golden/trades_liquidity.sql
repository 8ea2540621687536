-- model:       trades_liquidity
-- description: Quote, sign, spreads and price impact per trade
-- template:    trades/liquidity.sql.j2
-- inputs:      trades = ccxt_trades
--              book = ccxt_orderbook
-- options:     horizons = [1, 5, 60, 300]
--              sign = 'aggressor_or_lee_ready'
--              quotes = 'before'
--              quote_lag = 0.0
--              max_quote_age = 300.0
--              max_gap = 300.0
-- lookback:    86400 s
-- lookahead:   601 s
-- publishes:   processed/ccxt/trades/liquidity (overwrite), by exchange, symbol, date
-- fingerprint: 0cb1cc1348887c631bc5846d
-- stages:      trades_liquidity, line 540
--              aged, line 517
--              whole, line 510
--              quoted, line 496
--              after_300s, line 487
--              after_60s, line 479
--              after_5s, line 471
--              after_1s, line 463
--              ticks, line 450
--              moments, line 440
--              priced, line 428
--              quotes, line 421
--              located, line 412
--              ends, line 397
--              states, line 380
--              book, line 112
--              trades, line 43
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/trades_liquidity, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_trades_liquidity.trades_liquidity LIMIT 10, or just FROM trades_liquidity where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_trades_liquidity;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_trades_liquidity".main';

CREATE OR REPLACE VIEW compiled_trades_liquidity.trades AS
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

CREATE OR REPLACE VIEW compiled_trades_liquidity.book AS
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

CREATE OR REPLACE VIEW compiled_trades_liquidity.states AS
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

CREATE OR REPLACE VIEW compiled_trades_liquidity.ends AS
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

CREATE OR REPLACE VIEW compiled_trades_liquidity.located AS
SELECT
    states.* EXCLUDE (ns_before),
    ends.place AS segment,
    ends.segment_end_ns
FROM states
ASOF JOIN ends
    ON states.exchange = ends.exchange AND states.symbol = ends.symbol AND states.place < ends.place;

CREATE OR REPLACE VIEW compiled_trades_liquidity.quotes AS
SELECT
    *,
    ns AS quote_ns
FROM located
WHERE mid_price IS NOT NULL AND NOT is_replaced;

CREATE OR REPLACE VIEW compiled_trades_liquidity.priced AS
SELECT
    *,
    epoch_ns(ts) AS trade_ns,
    CASE WHEN amount IS NOT NULL THEN price END AS traded_price,
    lag(traded_price IGNORE NULLS) OVER in_order AS price_before,
    lag(CASE WHEN traded_price IS NOT NULL THEN least(trade_ns, epoch_ns(date)) END IGNORE NULLS) OVER in_order AS ns_before,
    row_number() OVER in_order AS place
FROM trades
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq);

-- What windows and joins need of a trade; the rest of it comes along at the end.
CREATE OR REPLACE VIEW compiled_trades_liquidity.moments AS
SELECT
    exchange, symbol, place,
    date,
    trade_ns AS ns,
    traded_price IS NOT NULL AS has_price,
    nullif(sign(traded_price - price_before), 0) AS step,
    CASE WHEN step IS NOT NULL THEN ns_before END AS step_from_ns
FROM priced;

CREATE OR REPLACE VIEW compiled_trades_liquidity.ticks AS
SELECT
    exchange, symbol, place,
    ns,
    CASE
        WHEN has_price
            -- A date sees no further back than the date before, by their times and by their dates.
            AND last_value(step_from_ns IGNORE NULLS) OVER so_far >= epoch_ns(date - 1)
        THEN last_value(step IGNORE NULLS) OVER so_far
    END AS tick
FROM moments
WINDOW so_far AS (PARTITION BY exchange, symbol ORDER BY place ROWS UNBOUNDED PRECEDING);

CREATE OR REPLACE VIEW compiled_trades_liquidity.after_1s AS
SELECT
    ticks.*,
    quotes.mid_price AS mid_after_1s
FROM ticks
ASOF LEFT JOIN quotes
    ON ticks.exchange = quotes.exchange AND ticks.symbol = quotes.symbol AND ticks.ns + 1000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_trades_liquidity.after_5s AS
SELECT
    after_1s.*,
    quotes.mid_price AS mid_after_5s
FROM after_1s
ASOF LEFT JOIN quotes
    ON after_1s.exchange = quotes.exchange AND after_1s.symbol = quotes.symbol AND after_1s.ns + 5000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_trades_liquidity.after_60s AS
SELECT
    after_5s.*,
    quotes.mid_price AS mid_after_60s
FROM after_5s
ASOF LEFT JOIN quotes
    ON after_5s.exchange = quotes.exchange AND after_5s.symbol = quotes.symbol AND after_5s.ns + 60000000000 >= quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_trades_liquidity.after_300s AS
SELECT
    after_60s.*,
    quotes.mid_price AS mid_after_300s
FROM after_60s
ASOF LEFT JOIN quotes
    ON after_60s.exchange = quotes.exchange AND after_60s.symbol = quotes.symbol AND after_60s.ns + 300000000000 >= quotes.quote_ns;

-- The quote's columns are many: they come last.
CREATE OR REPLACE VIEW compiled_trades_liquidity.quoted AS
SELECT
    after_300s.*,
    quotes.quote_ns AS quote_ns,
    quotes.best_bid AS bid,
    quotes.best_ask AS ask,
    quotes.bid_size AS bid_amount,
    quotes.ask_size AS ask_amount,
    quotes.mid_price AS mid,
    quotes.segment_end_ns AS segment_end_ns
FROM after_300s
ASOF LEFT JOIN quotes
    ON after_300s.exchange = quotes.exchange AND after_300s.symbol = quotes.symbol AND after_300s.ns > quotes.quote_ns;

CREATE OR REPLACE VIEW compiled_trades_liquidity.whole AS
SELECT *
FROM quoted
JOIN priced USING (exchange, symbol, place)
ORDER BY exchange, symbol, place -- here, where rows have fewer columns than in the result
;

CREATE OR REPLACE VIEW compiled_trades_liquidity.aged AS
SELECT
    *,
    ns - quote_ns <= 300000000000 AS is_recent,
    CASE WHEN is_recent THEN mid END AS mid_price,
    CASE WHEN mid_price > 0 THEN mid_price END AS positive_mid, -- of ratios
    -- At mid_price within rounding, a trade has no side.
    CASE WHEN abs(traded_price - mid_price) > 1e-14 * abs(mid_price) THEN sign(traded_price - mid_price) END AS side_of_mid,
    CASE
        WHEN ns - quote_ns <= 300000000000 AND ns + 1000000000 <= segment_end_ns THEN mid_after_1s
    END AS mid_1s,
    CASE
        WHEN ns - quote_ns <= 300000000000 AND ns + 5000000000 <= segment_end_ns THEN mid_after_5s
    END AS mid_5s,
    CASE
        WHEN ns - quote_ns <= 300000000000 AND ns + 60000000000 <= segment_end_ns THEN mid_after_60s
    END AS mid_60s,
    CASE
        WHEN ns - quote_ns <= 300000000000 AND ns + 300000000000 <= segment_end_ns THEN mid_after_300s
    END AS mid_300s,
    coalesce(side, side_of_mid, tick) AS chosen_sign
FROM whole;

CREATE OR REPLACE VIEW compiled_trades_liquidity.trades_liquidity AS
SELECT
    exchange,
    symbol,
    date,
    ts, -- UTC, ns: exchange time, else time of collection
    seq, -- 1: position of the row in its partition, in file order
    trade_id, -- name: as the venue names the trade
    price, -- q: price of the trade
    amount, -- u: size of the trade
    side, -- 1: 1 where the taker bought, -1 where the taker sold, NULL where unknown: as sent
    CASE WHEN is_recent THEN (ns - quote_ns) / 1e9 END
        AS quote_age_s, -- s: since the quote that prevails, the last valid one before the trade
    CASE WHEN is_recent THEN bid END AS best_bid, -- q: highest bid of that quote
    CASE WHEN is_recent THEN ask END AS best_ask, -- q: lowest ask of that quote
    CASE WHEN is_recent THEN bid_amount END AS bid_size, -- u: size at best_bid
    CASE WHEN is_recent THEN ask_amount END AS ask_size, -- u: size at best_ask
    mid_price, -- q: (best_bid + best_ask) / 2
    CASE WHEN is_recent THEN ask - bid END AS quoted_spread, -- q: best_ask - best_bid
    1e4 * (ask - bid) / positive_mid AS quoted_spread_bps, -- bps: 1e4 * quoted_spread / mid_price
    CAST(tick AS SMALLINT)
        AS sign_tick, -- 1: sign of the last price change that was not 0, this trade's included, of the date or the one before [Lee 1991]
    CAST(side_of_mid AS SMALLINT) AS sign_quote, -- 1: sign of price - mid_price; NULL at mid_price [Lee 1991]
    CAST(coalesce(side_of_mid, tick) AS SMALLINT)
        AS sign_lee_ready, -- 1: sign_quote, else sign_tick [Lee 1991]
    CAST(chosen_sign AS SMALLINT) AS sign, -- 1: side, else sign_lee_ready
    2 * chosen_sign * (traded_price - mid_price)
        AS effective_spread, -- q: 2 * sign * (price - mid_price) [Huang 1996]
    1e4 * 2 * chosen_sign * (traded_price - mid_price) / positive_mid
        AS effective_spread_bps, -- bps: 1e4 * effective_spread / mid_price [Huang 1996]
    2 * chosen_sign * (traded_price - mid_1s)
        AS realized_spread_1s, -- label: q: 2 * sign * (price - mid price 1 s later) [Huang 1996]
    1e4 * 2 * chosen_sign * (traded_price - mid_1s) / positive_mid
        AS realized_spread_1s_bps, -- label: bps: 1e4 * realized_spread_1s / mid_price [Huang 1996]
    2 * chosen_sign * (mid_1s - mid_price)
        AS price_impact_1s, -- label: q: 2 * sign * (mid price 1 s later - mid_price) [cf. Bessembinder 2003]
    1e4 * 2 * chosen_sign * (mid_1s - mid_price) / positive_mid
        AS price_impact_1s_bps, -- label: bps: 1e4 * price_impact_1s / mid_price [cf. Bessembinder 2003]
    2 * chosen_sign * (traded_price - mid_5s)
        AS realized_spread_5s, -- label: q: 2 * sign * (price - mid price 5 s later) [Huang 1996]
    1e4 * 2 * chosen_sign * (traded_price - mid_5s) / positive_mid
        AS realized_spread_5s_bps, -- label: bps: 1e4 * realized_spread_5s / mid_price [Huang 1996]
    2 * chosen_sign * (mid_5s - mid_price)
        AS price_impact_5s, -- label: q: 2 * sign * (mid price 5 s later - mid_price) [cf. Bessembinder 2003]
    1e4 * 2 * chosen_sign * (mid_5s - mid_price) / positive_mid
        AS price_impact_5s_bps, -- label: bps: 1e4 * price_impact_5s / mid_price [cf. Bessembinder 2003]
    2 * chosen_sign * (traded_price - mid_60s)
        AS realized_spread_60s, -- label: q: 2 * sign * (price - mid price 60 s later) [Huang 1996]
    1e4 * 2 * chosen_sign * (traded_price - mid_60s) / positive_mid
        AS realized_spread_60s_bps, -- label: bps: 1e4 * realized_spread_60s / mid_price [Huang 1996]
    2 * chosen_sign * (mid_60s - mid_price)
        AS price_impact_60s, -- label: q: 2 * sign * (mid price 60 s later - mid_price) [cf. Bessembinder 2003]
    1e4 * 2 * chosen_sign * (mid_60s - mid_price) / positive_mid
        AS price_impact_60s_bps, -- label: bps: 1e4 * price_impact_60s / mid_price [cf. Bessembinder 2003]
    2 * chosen_sign * (traded_price - mid_300s)
        AS realized_spread_300s, -- label: q: 2 * sign * (price - mid price 300 s later) [Huang 1996]
    1e4 * 2 * chosen_sign * (traded_price - mid_300s) / positive_mid
        AS realized_spread_300s_bps, -- label: bps: 1e4 * realized_spread_300s / mid_price [Huang 1996]
    2 * chosen_sign * (mid_300s - mid_price)
        AS price_impact_300s, -- label: q: 2 * sign * (mid price 300 s later - mid_price) [cf. Bessembinder 2003]
    1e4 * 2 * chosen_sign * (mid_300s - mid_price) / positive_mid
        AS price_impact_300s_bps -- label: bps: 1e4 * price_impact_300s / mid_price [cf. Bessembinder 2003]
FROM aged;

COPY (
    FROM compiled_trades_liquidity.trades_liquidity
) TO 'target/tables/trades_liquidity' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
