-- model:       orderbook_microprice
-- description: Micro-price of Stoikov per order book snapshot, fitted to the days before
-- template:    orderbook/hf.sql.j2
-- inputs:      orderbook = ccxt_orderbook
-- options:     max_gap = 300
--              tick_size = 0.01
--              imbalance_buckets = 10
--              spread_ticks = 3
--              max_levels = 2
--              top_levels = 2
--              imbalance_levels = [1, 3, 5, 10]
--              bands_bps = [5, 10, 25, 50, 100]
--              smart_depth_k = 100.0
--              regression_levels = 10
--              keep_book = False
-- lookback:    0 s
-- publishes:   processed/ccxt/orderbook/microprice (overwrite), by exchange, symbol, date
-- fingerprint: 7014139cd67173605c8af288
-- stages:      kernel_input, line 453
--              all_columns, line 311
--              centred, line 299
--              sums, line 218
--              levels, line 202
--              quotes, line 176
--              orderbook, line 36
--
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_orderbook_microprice.kernel_input LIMIT 10, or just FROM kernel_input where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_orderbook_microprice;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_orderbook_microprice".main';

CREATE OR REPLACE VIEW compiled_orderbook_microprice.orderbook AS
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
        asks[2].price AS ask_price_01, asks[2].size AS ask_size_01
    FROM positioned
),
checked AS (
    SELECT
        *,
        CASE
            WHEN len(bids) = 2 THEN coalesce(
                bid_price_01 > 0
                AND bid_price_01 < bid_price_00 AND bid_size_00 > 0 AND bid_size_01 > 0
                AND isfinite(bid_price_00 + bid_price_01)
                AND isfinite(bid_size_00 + bid_size_01),
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
            WHEN len(asks) = 2 THEN coalesce(
                ask_price_00 > 0
                AND ask_price_01 > ask_price_00 AND ask_size_00 > 0 AND ask_size_01 > 0
                AND isfinite(ask_price_00 + ask_price_01)
                AND isfinite(ask_size_00 + ask_size_01),
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
            ]))[:2],
            lambda p: {
                'price': p,
                'size': list_sum([x.size FOR x IN bids IF x.price = p AND x.size > 0 AND isfinite(x.size)])
            }
        ) END AS clean_bids,
        CASE WHEN NOT asks_in_order THEN list_transform(
            list_sort(list_distinct([
                x.price FOR x IN asks
                IF x.price > 0 AND isfinite(x.price) AND x.size > 0 AND isfinite(x.size)
            ]))[:2],
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
    CAST(CASE WHEN bids_in_order THEN least(len(bids), 2) ELSE len(clean_bids) END AS SMALLINT) AS bid_levels,
    CAST(CASE WHEN asks_in_order THEN least(len(asks), 2) ELSE len(clean_asks) END AS SMALLINT) AS ask_levels,
    CASE WHEN bids_in_order THEN bid_price_00 ELSE clean_bids[1].price END AS bid_price_00,
    CASE WHEN bids_in_order THEN bid_size_00 ELSE clean_bids[1].size END AS bid_size_00,
    CASE WHEN asks_in_order THEN ask_price_00 ELSE clean_asks[1].price END AS ask_price_00,
    CASE WHEN asks_in_order THEN ask_size_00 ELSE clean_asks[1].size END AS ask_size_00,
    CASE WHEN bids_in_order THEN bid_price_01 ELSE clean_bids[2].price END AS bid_price_01,
    CASE WHEN bids_in_order THEN bid_size_01 ELSE clean_bids[2].size END AS bid_size_01,
    CASE WHEN asks_in_order THEN ask_price_01 ELSE clean_asks[2].price END AS ask_price_01,
    CASE WHEN asks_in_order THEN ask_size_01 ELSE clean_asks[2].size END AS ask_size_01
FROM cleaned;

CREATE OR REPLACE VIEW compiled_orderbook_microprice.quotes AS
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
    least(bid_levels, ask_levels, 2) AS shared_levels,
    CASE WHEN positive_mid IS NOT NULL AND shared_levels >= 3 THEN shared_levels END AS fit_levels,
    bid_size_00 AS bid_amount_00,

    CASE WHEN bid_levels > 1 THEN bid_size_01 ELSE 0 END AS bid_amount_01,
    ask_size_00 AS ask_amount_00,

    CASE WHEN ask_levels > 1 THEN ask_size_01 ELSE 0 END AS ask_amount_01
FROM orderbook;

-- Per level: distance from mid in bps, infinite where the level is missing, and depth of the levels up to it.
CREATE OR REPLACE VIEW compiled_orderbook_microprice.levels AS
SELECT
    *,
    CASE WHEN bid_levels > 0 THEN 1e4 * (positive_mid - bid_price_00) / positive_mid ELSE 'infinity' END AS bid_bps_00,
    CASE WHEN ask_levels > 0 THEN 1e4 * (ask_price_00 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_00,
    CASE WHEN bid_levels > 1 THEN 1e4 * (positive_mid - bid_price_01) / positive_mid ELSE 'infinity' END AS bid_bps_01,
    CASE WHEN ask_levels > 1 THEN 1e4 * (ask_price_01 - positive_mid) / positive_mid ELSE 'infinity' END AS ask_bps_01,
    bid_amount_00 AS bid_depth_00,

    bid_depth_00 + bid_amount_01 AS bid_depth_01,
    ask_amount_00 AS ask_depth_00,

    ask_depth_00 + ask_amount_01 AS ask_depth_01
FROM quotes;

-- Sums over levels that more than one feature is made of, and the means of the regressions.
CREATE OR REPLACE VIEW compiled_orderbook_microprice.sums AS
SELECT
    *,
    bid_price_00 * bid_size_00
    + CASE WHEN bid_levels > 1 THEN bid_price_01 * bid_size_01 ELSE 0 END AS bid_best_notional,
    bid_best_notional AS bid_notional,
    bid_amount_00 * exp(-0.01 * bid_bps_00) + bid_amount_01 * exp(-0.01 * bid_bps_01) AS smart_bid_depth,
    0.49999999999995 * bid_depth_01 AS bid_half_depth,
    CASE
        WHEN bid_levels > 1 THEN bid_bps_01
        WHEN bid_levels = 1 THEN bid_bps_00
        ELSE 'infinity'
    END AS bid_seen_bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 4.999999 THEN NULL
        WHEN bid_bps_01 < 4.999999 THEN bid_depth_01 WHEN bid_bps_00 < 4.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_5bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 9.999999 THEN NULL
        WHEN bid_bps_01 < 9.999999 THEN bid_depth_01 WHEN bid_bps_00 < 9.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_10bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 24.999999 THEN NULL
        WHEN bid_bps_01 < 24.999999 THEN bid_depth_01 WHEN bid_bps_00 < 24.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_25bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 49.999999 THEN NULL
        WHEN bid_bps_01 < 49.999999 THEN bid_depth_01 WHEN bid_bps_00 < 49.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_50bps,
    CASE
        WHEN positive_mid IS NULL OR bid_seen_bps < 99.999999 THEN NULL
        WHEN bid_bps_01 < 99.999999 THEN bid_depth_01 WHEN bid_bps_00 < 99.999999 THEN bid_depth_00
        ELSE 0
    END AS bid_within_100bps,
    (
        CASE WHEN fit_levels > 0 THEN bid_bps_00 ELSE 0 END + CASE WHEN fit_levels > 1 THEN bid_bps_01 ELSE 0 END
    ) / fit_levels AS bid_x_mean,
    ask_price_00 * ask_size_00
    + CASE WHEN ask_levels > 1 THEN ask_price_01 * ask_size_01 ELSE 0 END AS ask_best_notional,
    ask_best_notional AS ask_notional,
    ask_amount_00 * exp(-0.01 * ask_bps_00) + ask_amount_01 * exp(-0.01 * ask_bps_01) AS smart_ask_depth,
    0.49999999999995 * ask_depth_01 AS ask_half_depth,
    CASE
        WHEN ask_levels > 1 THEN ask_bps_01
        WHEN ask_levels = 1 THEN ask_bps_00
        ELSE 'infinity'
    END AS ask_seen_bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 4.999999 THEN NULL
        WHEN ask_bps_01 < 4.999999 THEN ask_depth_01 WHEN ask_bps_00 < 4.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_5bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 9.999999 THEN NULL
        WHEN ask_bps_01 < 9.999999 THEN ask_depth_01 WHEN ask_bps_00 < 9.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_10bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 24.999999 THEN NULL
        WHEN ask_bps_01 < 24.999999 THEN ask_depth_01 WHEN ask_bps_00 < 24.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_25bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 49.999999 THEN NULL
        WHEN ask_bps_01 < 49.999999 THEN ask_depth_01 WHEN ask_bps_00 < 49.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_50bps,
    CASE
        WHEN positive_mid IS NULL OR ask_seen_bps < 99.999999 THEN NULL
        WHEN ask_bps_01 < 99.999999 THEN ask_depth_01 WHEN ask_bps_00 < 99.999999 THEN ask_depth_00
        ELSE 0
    END AS ask_within_100bps,
    (
        CASE WHEN fit_levels > 0 THEN ask_bps_00 ELSE 0 END + CASE WHEN fit_levels > 1 THEN ask_bps_01 ELSE 0 END
    ) / fit_levels AS ask_x_mean
FROM levels;

CREATE OR REPLACE VIEW compiled_orderbook_microprice.centred AS
    SELECT
        *,
        CASE WHEN fit_levels > 0 THEN bid_bps_00 - bid_x_mean ELSE 0 END AS bid_x_00,
        CASE WHEN fit_levels > 1 THEN bid_bps_01 - bid_x_mean ELSE 0 END AS bid_x_01
,
        CASE WHEN fit_levels > 0 THEN ask_bps_00 - ask_x_mean ELSE 0 END AS ask_x_00,
        CASE WHEN fit_levels > 1 THEN ask_bps_01 - ask_x_mean ELSE 0 END AS ask_x_01
,
        (bid_notional + ask_notional) / nullif(bid_depth_01 + ask_depth_01, 0) AS center_of_gravity
    FROM sums;

CREATE OR REPLACE VIEW compiled_orderbook_microprice.all_columns AS
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
    bid_levels, -- 1: bid levels after cleaning, at most 2; NULL without a list
    ask_levels, -- 1: ask levels after cleaning, at most 2; NULL without a list
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
    (bid_depth_01 - ask_depth_01) / nullif(bid_depth_01 + ask_depth_01, 0)
        AS imbalance_top3, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 3 levels, -1 to 1
    (bid_depth_01 - ask_depth_01) / nullif(bid_depth_01 + ask_depth_01, 0)
        AS imbalance_top5, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 5 levels, -1 to 1
    (bid_depth_01 - ask_depth_01) / nullif(bid_depth_01 + ask_depth_01, 0)
        AS imbalance_top10, -- 1: (bid depth - ask depth) / (bid depth + ask depth) of the best 10 levels, -1 to 1
    CASE WHEN bid_levels = 0 THEN 0 ELSE bid_depth_01 END
        AS total_bid_depth, -- u: sum of the sizes of all bid levels, 0 where the list is empty
    CASE WHEN ask_levels = 0 THEN 0 ELSE ask_depth_01 END
        AS total_ask_depth, -- u: sum of the sizes of all ask levels, 0 where the list is empty
    (bid_depth_01 - ask_depth_01) / nullif(bid_depth_01 + ask_depth_01, 0)
        AS total_imbalance, -- 1: (total_bid_depth - total_ask_depth) / (total_bid_depth + total_ask_depth), -1 to 1
    bid_best_notional / nullif(bid_depth_01, 0)
        AS vwap_bid_top2, -- q: sum of price * size / sum of size of the best 2 bid levels
    ask_best_notional / nullif(ask_depth_01, 0)
        AS vwap_ask_top2, -- q: sum of price * size / sum of size of the best 2 ask levels
    vwap_ask_top2 - vwap_bid_top2 AS vwap_spread_top2, -- q: vwap_ask_top2 - vwap_bid_top2
    smart_bid_depth, -- u: sum of size * exp(-100 * abs(price / mid_price - 1)) of the best 2 bid levels
    smart_ask_depth, -- u: sum of size * exp(-100 * abs(price / mid_price - 1)) of the best 2 ask levels
    (smart_bid_depth - smart_ask_depth) / nullif(smart_bid_depth + smart_ask_depth, 0)
        AS smart_depth_imbalance, -- 1: (smart_bid_depth - smart_ask_depth) / (smart_bid_depth + smart_ask_depth), -1 to 1
    abs(bid_price_00 - bid_price_01) / nullif(bid_depth_01, 0)
        AS bid_slope_top2, -- q/u: abs(price of level 1 - bid_price_00) / depth of the best 2 bid levels [cf. Naes 2006]
    abs(ask_price_00 - ask_price_01) / nullif(ask_depth_01, 0)
        AS ask_slope_top2, -- q/u: abs(price of level 1 - ask_price_00) / depth of the best 2 ask levels [cf. Naes 2006]
    bid_slope_top2 / nullif(ask_slope_top2, 0)
        AS slope_asymmetry_top2, -- 1: bid_slope_top2 / ask_slope_top2
    (
        bid_x_00 * bid_depth_00 + bid_x_01 * bid_depth_01
    ) / nullif(
        bid_x_00 * bid_x_00 + bid_x_01 * bid_x_01,
        0
    )
        AS bid_slope_regression, -- u/bps: least squares slope of depth up to a level on its distance from mid_price, 3 to 2 bid levels
    (
        ask_x_00 * ask_depth_00 + ask_x_01 * ask_depth_01
    ) / nullif(
        ask_x_00 * ask_x_00 + ask_x_01 * ask_x_01,
        0
    )
        AS ask_slope_regression, -- u/bps: least squares slope of depth up to a level on its distance from mid_price, 3 to 2 ask levels
    center_of_gravity, -- q: sum of price * size / sum of size of the best 2 levels of both sides
    1e4 * (center_of_gravity - positive_mid) / positive_mid AS cog_vs_mid, -- bps: 1e4 * (center_of_gravity - mid_price) / mid_price
    bid_size_01 / nullif(bid_size_00, 0)
        AS bid_depth_decay_top2, -- 1: size of bid level 1 / bid_size_00
    ask_size_01 / nullif(ask_size_00, 0)
        AS ask_depth_decay_top2, -- 1: size of ask level 1 / ask_size_00
    (bid_depth_decay_top2 + ask_depth_decay_top2) / 2
        AS avg_depth_decay_top2, -- 1: mean of bid_depth_decay_top2 and ask_depth_decay_top2
    (
        bid_amount_00 * bid_amount_00 + bid_amount_01 * bid_amount_01
    ) / bid_depth_01 / bid_depth_01
        AS bid_concentration, -- 1: sum of (size / total_bid_depth)^2, up to 1: Herfindahl index of the bid sizes
    (
        ask_amount_00 * ask_amount_00 + ask_amount_01 * ask_amount_01
    ) / ask_depth_01 / ask_depth_01
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
    END AS SMALLINT)
        AS bid_50pct_depth_levels, -- 1: index of the first level at which half of total_bid_depth is reached
    CAST(CASE
        WHEN ask_depth_00 >= ask_half_depth THEN 0 WHEN ask_depth_01 >= ask_half_depth THEN 1
    END AS SMALLINT)
        AS ask_50pct_depth_levels -- 1: index of the first level at which half of total_ask_depth is reached
FROM centred;

CREATE OR REPLACE VIEW compiled_orderbook_microprice.kernel_input AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    bid_price_00,
    bid_size_00,
    ask_price_00,
    ask_size_00,
    mid_price,
    microprice
FROM all_columns;

-- kernel segments, version 3: Segments between gaps, and their age
--   options max_gap = 300
--   reads ts
--   passes on segment_start: smallint; 1: 1 on the first row of a segment
--   gives segment_age_s: double; s: since the segment started; a window of h seconds is warm from h on
-- kernel stoikov_microprice, version 2: Micro-price by imbalance and spread, fitted to the days before (Stoikov 2018)
--   options tick_size = 0.01, imbalance_buckets = 10, spread_ticks = 3
--   reads ts, segment_start, mid_price, bid_price_00, bid_size_00, ask_price_00, ask_size_00
--   gives stoikov_microprice: double; q: mid_price + tick_size * G*(imbalance, spread), fitted to the days before [Stoikov 2018]

COPY (
    SELECT
        exchange,
        symbol,
        date,
        ts,
        seq,
        mid_price,
        microprice,
        stoikov_microprice
    FROM (
        SELECT *
        FROM kernel_rows
    )
) TO 'target/tables/orderbook_microprice' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
