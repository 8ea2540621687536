-- model:       ofi_bars
-- description: Order flow imbalance of 10 levels every 10 seconds, normalised and integrated
-- template:    orderbook/ofi_bars.sql.j2
-- inputs:      orderbook = ccxt_orderbook
--              book = ccxt_orderbook
-- options:     ofi_levels = 10
--              ofi_window = 10.0
--              fit_window = 1800.0
--              max_gap = 300
--              next_return = True
--              emit_open_bars = False
--              max_levels = 10
-- lookback:    310 s
-- lookahead:   311 s
-- publishes:   processed/ccxt/orderbook/ofi_bars (overwrite), by exchange, symbol, date
-- fingerprint: d03c82bbed0da2817ea5b5c7
-- stages:      kernel_input, line 178
--              cleaned, line 153
--              checked, line 104
--              as_sent, line 85
--              positioned, line 80
--              numbered, line 49
--              files_before, line 34
--
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_ofi_bars.kernel_input LIMIT 10, or just FROM kernel_input where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_ofi_bars;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_ofi_bars".main';

CREATE OR REPLACE VIEW compiled_ofi_bars.files_before AS
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
]);

CREATE OR REPLACE VIEW compiled_ofi_bars.numbered AS
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
JOIN files_before USING (filename);

CREATE OR REPLACE VIEW compiled_ofi_bars.positioned AS
SELECT *
FROM numbered
WHERE CAST(ts AS TIMESTAMP) BETWEEN date - INTERVAL 86400 SECONDS AND date + INTERVAL 172800 SECONDS;

CREATE OR REPLACE VIEW compiled_ofi_bars.as_sent AS
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
    asks[10].size AS ask_size_09
FROM positioned;

CREATE OR REPLACE VIEW compiled_ofi_bars.checked AS
SELECT
    *,
    CASE
        WHEN len(bids) = 10 THEN coalesce(
            bid_price_09 > 0
            AND bid_price_01 < bid_price_00 AND bid_price_02 < bid_price_01 AND bid_price_03 < bid_price_02
            AND bid_price_04 < bid_price_03 AND bid_price_05 < bid_price_04 AND bid_price_06 < bid_price_05
            AND bid_price_07 < bid_price_06 AND bid_price_08 < bid_price_07 AND bid_price_09 < bid_price_08 AND bid_size_00 > 0
            AND bid_size_01 > 0 AND bid_size_02 > 0 AND bid_size_03 > 0 AND bid_size_04 > 0 AND bid_size_05 > 0
            AND bid_size_06 > 0 AND bid_size_07 > 0 AND bid_size_08 > 0 AND bid_size_09 > 0
            AND isfinite(bid_price_00 + bid_price_01 + bid_price_02 + bid_price_03 + bid_price_04
            + bid_price_05 + bid_price_06 + bid_price_07 + bid_price_08 + bid_price_09)
            AND isfinite(bid_size_00 + bid_size_01 + bid_size_02 + bid_size_03 + bid_size_04
            + bid_size_05 + bid_size_06 + bid_size_07 + bid_size_08 + bid_size_09),
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
        WHEN len(asks) = 10 THEN coalesce(
            ask_price_00 > 0
            AND ask_price_01 > ask_price_00 AND ask_price_02 > ask_price_01 AND ask_price_03 > ask_price_02
            AND ask_price_04 > ask_price_03 AND ask_price_05 > ask_price_04 AND ask_price_06 > ask_price_05
            AND ask_price_07 > ask_price_06 AND ask_price_08 > ask_price_07 AND ask_price_09 > ask_price_08 AND ask_size_00 > 0
            AND ask_size_01 > 0 AND ask_size_02 > 0 AND ask_size_03 > 0 AND ask_size_04 > 0 AND ask_size_05 > 0
            AND ask_size_06 > 0 AND ask_size_07 > 0 AND ask_size_08 > 0 AND ask_size_09 > 0
            AND isfinite(ask_price_00 + ask_price_01 + ask_price_02 + ask_price_03 + ask_price_04
            + ask_price_05 + ask_price_06 + ask_price_07 + ask_price_08 + ask_price_09)
            AND isfinite(ask_size_00 + ask_size_01 + ask_size_02 + ask_size_03 + ask_size_04
            + ask_size_05 + ask_size_06 + ask_size_07 + ask_size_08 + ask_size_09),
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
FROM as_sent;

CREATE OR REPLACE VIEW compiled_ofi_bars.cleaned AS
SELECT
    *,
    CASE WHEN NOT bids_in_order THEN list_transform(
        list_reverse_sort(list_distinct([
            x.price FOR x IN bids
            IF x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
        ]))[:10],
        lambda p: {
            'price': p,
            'size': list_sum([x.size FOR x IN bids IF x.price = p AND x.size > 0 AND isfinite(x.size)])
        }
    ) END AS clean_bids,
    CASE WHEN NOT asks_in_order THEN list_transform(
        list_sort(list_distinct([
            x.price FOR x IN asks
            IF x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
        ]))[:10],
        lambda p: {
            'price': p,
            'size': list_sum([x.size FOR x IN asks IF x.price = p AND x.size > 0 AND isfinite(x.size)])
        }
    ) END AS clean_asks
FROM checked;

CREATE OR REPLACE VIEW compiled_ofi_bars.kernel_input AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    CAST(CASE WHEN bids_in_order THEN least(len(bids), 10) ELSE len(clean_bids) END AS SMALLINT) AS bid_levels,
    CAST(CASE WHEN asks_in_order THEN least(len(asks), 10) ELSE len(clean_asks) END AS SMALLINT) AS ask_levels,
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
    CASE WHEN asks_in_order THEN ask_size_09 ELSE clean_asks[10].size END AS ask_size_09
FROM cleaned;

-- kernel ofi_bars, version 2: Windows of order flow imbalance by level, normalised and integrated (Cont, Cucuringu, Zhang 2023)
--   options ofi_levels = 10, ofi_window = 10.0, fit_window = 1800.0, max_gap = 300
--   reads ts, bid_price_00, bid_size_00, ask_price_00, ask_size_00, bid_price_01, bid_size_01, ask_price_01,
--         ask_size_01, bid_price_02, bid_size_02, ask_price_02, ask_size_02, bid_price_03, bid_size_03,
--         ask_price_03, ask_size_03, bid_price_04, bid_size_04, ask_price_04, ask_size_04, bid_price_05,
--         bid_size_05, ask_price_05, ask_size_05, bid_price_06, bid_size_06, ask_price_06, ask_size_06,
--         bid_price_07, bid_size_07, ask_price_07, ask_size_07, bid_price_08, bid_size_08, ask_price_08,
--         ask_size_08, bid_price_09, bid_size_09, ask_price_09, ask_size_09
--   gives bar_end: timestamp; UTC, ns: end of the window, inclusive, a multiple of 10 s
--   gives snapshot_count: bigint; 1: rows of the book in the window
--   gives is_closed: boolean; flag: a row after bar_end has come
--   gives mid_price: double; q: of the last valid row up to bar_end
--   gives return: double; 1: ln(mid_price / mid price 10 s before), NULL where the segment starts after that
--   gives mean_depth: double; u: mean of (bid size + ask size) / 2 over rows and 10 levels [Cont 2023]
--   gives integrated_ofi: double; 1: w1.ofi_norm / sum of abs(w1), w1: first eigenvector of Cov(ofi_norm) in 1800 s before [Cont 2023]
--   gives ofi_explained: double; 1: share of variance of that eigenvector [Cont 2023]
--   gives segment_age_s: double; s: from the first row of the segment to bar_end
--   gives ofi: double; u: sum of order flow imbalance over (bar_end - w, bar_end] at the best quotes [Cont 2014]
--   gives ofi_01: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 1 [Xu 2019]
--   gives ofi_02: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 2 [Xu 2019]
--   gives ofi_03: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 3 [Xu 2019]
--   gives ofi_04: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 4 [Xu 2019]
--   gives ofi_05: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 5 [Xu 2019]
--   gives ofi_06: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 6 [Xu 2019]
--   gives ofi_07: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 7 [Xu 2019]
--   gives ofi_08: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 8 [Xu 2019]
--   gives ofi_09: double; u: sum of order flow imbalance over (bar_end - w, bar_end], level 9 [Xu 2019]
--   gives ofi_norm_00: double; 1: order flow imbalance of level 0 / mean_depth [Cont 2023]
--   gives ofi_norm_01: double; 1: order flow imbalance of level 1 / mean_depth [Cont 2023]
--   gives ofi_norm_02: double; 1: order flow imbalance of level 2 / mean_depth [Cont 2023]
--   gives ofi_norm_03: double; 1: order flow imbalance of level 3 / mean_depth [Cont 2023]
--   gives ofi_norm_04: double; 1: order flow imbalance of level 4 / mean_depth [Cont 2023]
--   gives ofi_norm_05: double; 1: order flow imbalance of level 5 / mean_depth [Cont 2023]
--   gives ofi_norm_06: double; 1: order flow imbalance of level 6 / mean_depth [Cont 2023]
--   gives ofi_norm_07: double; 1: order flow imbalance of level 7 / mean_depth [Cont 2023]
--   gives ofi_norm_08: double; 1: order flow imbalance of level 8 / mean_depth [Cont 2023]
--   gives ofi_norm_09: double; 1: order flow imbalance of level 9 / mean_depth [Cont 2023]

COPY (
    -- A window that no row of its date has closed is known once a row of a later date has come.
    WITH windows AS (
        SELECT
            *,
            epoch_ns(bar_end) AS ns
        FROM (
            SELECT *
            FROM kernel_rows
        )
    ),
    book AS (
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
                asks[10].size AS ask_size_09
            FROM positioned
        ),
        checked AS (
            SELECT
                *,
                CASE
                    WHEN len(bids) = 10 THEN coalesce(
                        bid_price_09 > 0
                        AND bid_price_01 < bid_price_00 AND bid_price_02 < bid_price_01 AND bid_price_03 < bid_price_02
                        AND bid_price_04 < bid_price_03 AND bid_price_05 < bid_price_04 AND bid_price_06 < bid_price_05
                        AND bid_price_07 < bid_price_06 AND bid_price_08 < bid_price_07 AND bid_price_09 < bid_price_08 AND bid_size_00 > 0
                        AND bid_size_01 > 0 AND bid_size_02 > 0 AND bid_size_03 > 0 AND bid_size_04 > 0 AND bid_size_05 > 0
                        AND bid_size_06 > 0 AND bid_size_07 > 0 AND bid_size_08 > 0 AND bid_size_09 > 0
                        AND isfinite(bid_price_00 + bid_price_01 + bid_price_02 + bid_price_03 + bid_price_04
                        + bid_price_05 + bid_price_06 + bid_price_07 + bid_price_08 + bid_price_09)
                        AND isfinite(bid_size_00 + bid_size_01 + bid_size_02 + bid_size_03 + bid_size_04
                        + bid_size_05 + bid_size_06 + bid_size_07 + bid_size_08 + bid_size_09),
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
                    WHEN len(asks) = 10 THEN coalesce(
                        ask_price_00 > 0
                        AND ask_price_01 > ask_price_00 AND ask_price_02 > ask_price_01 AND ask_price_03 > ask_price_02
                        AND ask_price_04 > ask_price_03 AND ask_price_05 > ask_price_04 AND ask_price_06 > ask_price_05
                        AND ask_price_07 > ask_price_06 AND ask_price_08 > ask_price_07 AND ask_price_09 > ask_price_08 AND ask_size_00 > 0
                        AND ask_size_01 > 0 AND ask_size_02 > 0 AND ask_size_03 > 0 AND ask_size_04 > 0 AND ask_size_05 > 0
                        AND ask_size_06 > 0 AND ask_size_07 > 0 AND ask_size_08 > 0 AND ask_size_09 > 0
                        AND isfinite(ask_price_00 + ask_price_01 + ask_price_02 + ask_price_03 + ask_price_04
                        + ask_price_05 + ask_price_06 + ask_price_07 + ask_price_08 + ask_price_09)
                        AND isfinite(ask_size_00 + ask_size_01 + ask_size_02 + ask_size_03 + ask_size_04
                        + ask_size_05 + ask_size_06 + ask_size_07 + ask_size_08 + ask_size_09),
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
                    ]))[:10],
                    lambda p: {
                        'price': p,
                        'size': list_sum([x.size FOR x IN bids IF x.price = p AND x.size > 0 AND isfinite(x.size)])
                    }
                ) END AS clean_bids,
                CASE WHEN NOT asks_in_order THEN list_transform(
                    list_sort(list_distinct([
                        x.price FOR x IN asks
                        IF x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
                    ]))[:10],
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
            CAST(CASE WHEN bids_in_order THEN least(len(bids), 10) ELSE len(clean_bids) END AS SMALLINT) AS bid_levels,
            CAST(CASE WHEN asks_in_order THEN least(len(asks), 10) ELSE len(clean_asks) END AS SMALLINT) AS ask_levels,
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
            CASE WHEN asks_in_order THEN ask_size_09 ELSE clean_asks[10].size END AS ask_size_09
        FROM cleaned
    ),
    states AS (
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
        WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq)
    ),
    ends AS (
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
        GROUP BY exchange, symbol
    ),
    located AS (
        SELECT
            states.* EXCLUDE (ns_before),
            ends.place AS segment,
            ends.segment_end_ns
        FROM states
        ASOF JOIN ends
            ON states.exchange = ends.exchange AND states.symbol = ends.symbol AND states.place < ends.place
    ),
    quotes AS (
        SELECT
            *,
            ns AS quote_ns
        FROM located
        WHERE mid_price IS NOT NULL AND NOT is_replaced
    ),
    placed AS (
        SELECT
            windows.*,
            quotes.segment_end_ns AS segment_end_ns
        FROM windows
        ASOF LEFT JOIN quotes
            ON windows.exchange = quotes.exchange AND windows.symbol = quotes.symbol AND windows.ns >= quotes.quote_ns
    ),
    followed AS (
        SELECT
            placed.*,
            quotes.mid_price AS next_mid_price
        FROM placed
        ASOF LEFT JOIN quotes
            ON placed.exchange = quotes.exchange AND placed.symbol = quotes.symbol AND placed.ns + 10000000000 >= quotes.quote_ns
    ),
    bars AS (
        SELECT
            *
        FROM followed
        WHERE is_closed OR ns < (SELECT max(ns) FROM states)
    )
    SELECT
        exchange,
        symbol,
        date, -- UTC: date of bar_end
        make_timestamp_ns(ns - 10000000000) AS bar_start, -- UTC, ns: start of the window, exclusive
        bar_end, -- UTC, ns: end of the window, inclusive, a multiple of 10 s; known from the next row on
        segment_age_s, -- s: from the first row of the segment to bar_end
        snapshot_count, -- 1: snapshots in the window
        mid_price, -- q: of the last valid row up to bar_end
        "return", -- 1: ln(mid_price / mid price 10 s before), NULL where the segment starts after that
        CASE
            WHEN ns + 10000000000 <= segment_end_ns
            THEN CASE WHEN next_mid_price > 0 AND mid_price > 0 THEN ln(next_mid_price / mid_price) END
        END AS next_return, -- label: 1: ln(mid price 10 s after bar_end / mid_price), NULL where the segment ends before
        ofi, -- u: sum of order flow imbalance over the window at the best quotes [Cont 2014]
        ofi_01, -- u: sum of order flow imbalance over the window, level 1 [Xu 2019]
        ofi_02, -- u: sum of order flow imbalance over the window, level 2 [Xu 2019]
        ofi_03, -- u: sum of order flow imbalance over the window, level 3 [Xu 2019]
        ofi_04, -- u: sum of order flow imbalance over the window, level 4 [Xu 2019]
        ofi_05, -- u: sum of order flow imbalance over the window, level 5 [Xu 2019]
        ofi_06, -- u: sum of order flow imbalance over the window, level 6 [Xu 2019]
        ofi_07, -- u: sum of order flow imbalance over the window, level 7 [Xu 2019]
        ofi_08, -- u: sum of order flow imbalance over the window, level 8 [Xu 2019]
        ofi_09, -- u: sum of order flow imbalance over the window, level 9 [Xu 2019]
        mean_depth, -- u: mean of (bid size + ask size) / 2 over the rows of the window and 10 levels [Cont 2023]
        ofi_norm_00, -- 1: order flow imbalance of level 0 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_01, -- 1: order flow imbalance of level 1 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_02, -- 1: order flow imbalance of level 2 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_03, -- 1: order flow imbalance of level 3 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_04, -- 1: order flow imbalance of level 4 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_05, -- 1: order flow imbalance of level 5 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_06, -- 1: order flow imbalance of level 6 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_07, -- 1: order flow imbalance of level 7 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_08, -- 1: order flow imbalance of level 8 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        ofi_norm_09, -- 1: order flow imbalance of level 9 / mean_depth, NULL if a level is never seen in the window [Cont 2023]
        integrated_ofi, -- 1: w1.ofi_norm / sum of abs(w1), w1: first eigenvector of the covariance of ofi_norm in 1800 s before [Cont 2023]
        ofi_explained -- 1: share of variance of the first eigenvector, 0 to 1 [Cont 2023]
    FROM bars
    ORDER BY bar_end
) TO 'target/tables/ofi_bars' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
