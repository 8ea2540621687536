-- model:       event_flow_bars
-- description: Limit orders, cancellations and executions per time bar, from books and trades
-- template:    orderbook/event_flow_bars.sql.j2
-- inputs:      book = ccxt_orderbook
--              events = ccxt_trades
-- options:     bar_durations = [60, 300, 900, 3600]
--              explained_by = 'trades'
--              max_levels = 10
--              max_gap = 300.0
--              emit_open_bars = False
-- lookback:    300 s
-- lookahead:   3600 s
-- publishes:   processed/ccxt/orderbook/event_flow_bars (overwrite), by exchange, symbol, date
-- fingerprint: 600ee195f435fe8a207ad7d7
-- stages:      event_flow_bars, line 543
--              reached, line 535
--              bars, line 528
--              seen, line 494
--              cells, line 482
--              placed, line 467
--              flows, line 461
--              moved, line 437
--              traded, line 428
--              assigned, line 418
--              timeline, line 413
--              changes, line 402
--              present, line 397
--              states, line 393
--              steps, line 366
--              compared, line 333
--              quotes, line 326
--              located, line 318
--              timed, line 310
--              events, line 241
--              book, line 46
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/event_flow_bars, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_event_flow_bars.event_flow_bars LIMIT 10, or just FROM event_flow_bars where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_event_flow_bars;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_event_flow_bars".main';

CREATE OR REPLACE VIEW compiled_event_flow_bars.book AS
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
FROM cleaned;

CREATE OR REPLACE VIEW compiled_event_flow_bars.events AS
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

CREATE OR REPLACE VIEW compiled_event_flow_bars.timed AS
SELECT
    *,
    epoch_ns(ts) AS ns,
    coalesce(ns - lag(ns) OVER in_order > 300000000000, false) AS is_start
FROM book
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY ts, date, seq);

CREATE OR REPLACE VIEW compiled_event_flow_bars.located AS
SELECT
    *,
    sum(CAST(is_start AS BIGINT)) OVER (
        PARTITION BY exchange, symbol ORDER BY ts, date, seq ROWS UNBOUNDED PRECEDING
    ) AS segment
FROM timed;

CREATE OR REPLACE VIEW compiled_event_flow_bars.quotes AS
SELECT
    *,
    row_number() OVER (PARTITION BY exchange, symbol ORDER BY ts, date, seq) AS place
FROM located
WHERE ask_price_00 >= bid_price_00;

CREATE OR REPLACE VIEW compiled_event_flow_bars.compared AS
SELECT
    exchange, symbol, date, ns, seq, place, segment, bid_levels, ask_levels,
    [
        {'price': bid_price_00, 'size': bid_size_00},
        {'price': bid_price_01, 'size': bid_size_01},
        {'price': bid_price_02, 'size': bid_size_02},
        {'price': bid_price_03, 'size': bid_size_03},
        {'price': bid_price_04, 'size': bid_size_04},
        {'price': bid_price_05, 'size': bid_size_05},
        {'price': bid_price_06, 'size': bid_size_06},
        {'price': bid_price_07, 'size': bid_size_07},
        {'price': bid_price_08, 'size': bid_size_08},
        {'price': bid_price_09, 'size': bid_size_09}
    ] AS bids,
    [
        {'price': ask_price_00, 'size': ask_size_00},
        {'price': ask_price_01, 'size': ask_size_01},
        {'price': ask_price_02, 'size': ask_size_02},
        {'price': ask_price_03, 'size': ask_size_03},
        {'price': ask_price_04, 'size': ask_size_04},
        {'price': ask_price_05, 'size': ask_size_05},
        {'price': ask_price_06, 'size': ask_size_06},
        {'price': ask_price_07, 'size': ask_size_07},
        {'price': ask_price_08, 'size': ask_size_08},
        {'price': ask_price_09, 'size': ask_size_09}
    ] AS asks,
    -- A record of a trade repeats the book, and another one of its time follows with the change.
    segment = lag(segment) OVER in_order AND ns = lead(ns) OVER in_order
        AND bids = lag(bids) OVER in_order AND asks = lag(asks) OVER in_order AS is_repeated
FROM quotes
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY place);

CREATE OR REPLACE VIEW compiled_event_flow_bars.steps AS
SELECT
    exchange, symbol, date, ns, seq,
    row_number() OVER in_order AS place,
    segment = lag(segment) OVER in_order AND ns - lag(ns) OVER in_order <= 300000000000 AS is_step,
    [
        {
            'side': 1,
            'levels': bids,
            'edge': CASE
                WHEN bid_levels < 1 THEN -'infinity'::DOUBLE
                ELSE list_last(list_filter(bids, lambda x: x.price IS NOT NULL)).price
            END
        },
        {
            'side': -1,
            'levels': asks,
            'edge': CASE
                WHEN ask_levels < 1 THEN -'infinity'::DOUBLE
                ELSE -list_last(list_filter(asks, lambda x: x.price IS NOT NULL)).price
            END
        }
    ] AS sides
FROM compared
WHERE NOT coalesce(is_repeated, false)
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY place);

CREATE OR REPLACE VIEW compiled_event_flow_bars.states AS
SELECT * EXCLUDE (sides), unnest(sides) AS found
FROM steps;

CREATE OR REPLACE VIEW compiled_event_flow_bars.present AS
SELECT exchange, symbol, place, found.side AS side, found.edge AS edge, unnest(found.levels) AS level
FROM states;

-- Of each price, what it has now less what it had before.
CREATE OR REPLACE VIEW compiled_event_flow_bars.changes AS
SELECT exchange, symbol, place, side, price, sum(size) AS change,
    1e-12 * sum(abs(size)) AS rounding
FROM (
    SELECT exchange, symbol, place, side, level.price AS price, level.size AS size FROM present WHERE level.price IS NOT NULL
    UNION ALL
    SELECT exchange, symbol, place + 1, side, level.price, -level.size FROM present WHERE level.price IS NOT NULL
)
GROUP BY ALL
HAVING change != 0;

CREATE OR REPLACE VIEW compiled_event_flow_bars.timeline AS
SELECT exchange, symbol, epoch_ns(ts) AS ns, date, seq, false AS is_book, NULL AS row_place, price, amount, side FROM events
UNION ALL
SELECT exchange, symbol, ns, date, seq, true, place, NULL, NULL, NULL FROM steps;

CREATE OR REPLACE VIEW compiled_event_flow_bars.assigned AS
SELECT
    *,
    first_value(row_place IGNORE NULLS) OVER (
        PARTITION BY exchange, symbol ORDER BY ns, is_book, date, seq
        ROWS BETWEEN CURRENT ROW AND UNBOUNDED FOLLOWING
    ) AS place,
    CASE WHEN side IS NULL THEN [1, -1] ELSE [-side] END AS resting
FROM timeline;

CREATE OR REPLACE VIEW compiled_event_flow_bars.traded AS
SELECT exchange, symbol, place, side, price, sum(amount) AS traded
FROM (
    SELECT * REPLACE (unnest(resting) AS side)
    FROM assigned
    WHERE NOT is_book AND price IS NOT NULL AND amount IS NOT NULL
)
GROUP BY ALL;

CREATE OR REPLACE VIEW compiled_event_flow_bars.moved AS
SELECT
    changes.*,
    states.date,
    states.seq,
    states.ns,
    before.found.levels[1].price AS best,
    -- What trades explain within rounding, they explain.
    CASE
        WHEN change < 0 AND -change - traded < rounding THEN -change
        ELSE least(greatest(-change, 0), coalesce(traded, 0))
    END AS market_size
FROM changes
JOIN states
    ON changes.exchange = states.exchange AND changes.symbol = states.symbol
    AND changes.place = states.place AND changes.side = states.found.side
JOIN states AS before
    ON changes.exchange = before.exchange AND changes.symbol = before.symbol
    AND changes.place = before.place + 1 AND changes.side = before.found.side
LEFT JOIN traded
    ON changes.exchange = traded.exchange AND changes.symbol = traded.symbol
    AND changes.place = traded.place AND changes.side = traded.side AND changes.price = traded.price
WHERE states.is_step AND changes.side * changes.price >= greatest(states.found.edge, before.found.edge);

CREATE OR REPLACE VIEW compiled_event_flow_bars.flows AS
SELECT *, unnest([
    {'kind': 'limit', 'size': change}, {'kind': 'market', 'size': market_size}, {'kind': 'cancel', 'size': -change - market_size}
], recursive := true), true AS is_placed
FROM moved;

CREATE OR REPLACE VIEW compiled_event_flow_bars.placed AS
SELECT
    *,
    ns - ns % (bar_seconds * 1000000000) AS start_ns,
    CASE
        WHEN kind = 'hidden' THEN 'hidden'
        WHEN NOT is_placed THEN 'none'
        WHEN side * price >= side * best THEN 'best'
        ELSE 'beyond'
    END AS place_of
FROM flows
CROSS JOIN (SELECT unnest([60, 300, 900, 3600]::BIGINT[]) AS bar_seconds) AS durations
WHERE size > 0 OR NOT coalesce(is_placed, false);

-- Sums in the order of events, so that they do not depend on threads.
CREATE OR REPLACE VIEW compiled_event_flow_bars.cells AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    side,
    kind,
    place_of,
    sum(size ORDER BY ns, date, seq, price) AS volume,
    count(*) AS events,
    max(ns) AS last_ns
FROM placed
GROUP BY exchange, symbol, bar_seconds, start_ns, side, kind, place_of;

CREATE OR REPLACE VIEW compiled_event_flow_bars.seen AS
SELECT
    exchange, symbol, bar_seconds, start_ns,
    coalesce(max(volume) FILTER (place_of = 'best' AND kind = 'limit' AND side = 1), 0) AS bid_limit_volume_best,
    coalesce(max(events) FILTER (place_of = 'best' AND kind = 'limit' AND side = 1), 0) AS bid_limit_count_best,
    coalesce(max(volume) FILTER (place_of = 'best' AND kind = 'cancel' AND side = 1), 0) AS bid_cancel_volume_best,
    coalesce(max(events) FILTER (place_of = 'best' AND kind = 'cancel' AND side = 1), 0) AS bid_cancel_count_best,
    coalesce(max(volume) FILTER (place_of = 'best' AND kind = 'market' AND side = 1), 0) AS bid_market_volume_best,
    coalesce(max(events) FILTER (place_of = 'best' AND kind = 'market' AND side = 1), 0) AS bid_market_count_best,
    coalesce(max(volume) FILTER (place_of = 'beyond' AND kind = 'limit' AND side = 1), 0) AS bid_limit_volume_beyond,
    coalesce(max(events) FILTER (place_of = 'beyond' AND kind = 'limit' AND side = 1), 0) AS bid_limit_count_beyond,
    coalesce(max(volume) FILTER (place_of = 'beyond' AND kind = 'cancel' AND side = 1), 0) AS bid_cancel_volume_beyond,
    coalesce(max(events) FILTER (place_of = 'beyond' AND kind = 'cancel' AND side = 1), 0) AS bid_cancel_count_beyond,
    coalesce(max(volume) FILTER (place_of = 'beyond' AND kind = 'market' AND side = 1), 0) AS bid_market_volume_beyond,
    coalesce(max(events) FILTER (place_of = 'beyond' AND kind = 'market' AND side = 1), 0) AS bid_market_count_beyond,
    coalesce(max(volume) FILTER (place_of = 'best' AND kind = 'limit' AND side = -1), 0) AS ask_limit_volume_best,
    coalesce(max(events) FILTER (place_of = 'best' AND kind = 'limit' AND side = -1), 0) AS ask_limit_count_best,
    coalesce(max(volume) FILTER (place_of = 'best' AND kind = 'cancel' AND side = -1), 0) AS ask_cancel_volume_best,
    coalesce(max(events) FILTER (place_of = 'best' AND kind = 'cancel' AND side = -1), 0) AS ask_cancel_count_best,
    coalesce(max(volume) FILTER (place_of = 'best' AND kind = 'market' AND side = -1), 0) AS ask_market_volume_best,
    coalesce(max(events) FILTER (place_of = 'best' AND kind = 'market' AND side = -1), 0) AS ask_market_count_best,
    coalesce(max(volume) FILTER (place_of = 'beyond' AND kind = 'limit' AND side = -1), 0) AS ask_limit_volume_beyond,
    coalesce(max(events) FILTER (place_of = 'beyond' AND kind = 'limit' AND side = -1), 0) AS ask_limit_count_beyond,
    coalesce(max(volume) FILTER (place_of = 'beyond' AND kind = 'cancel' AND side = -1), 0) AS ask_cancel_volume_beyond,
    coalesce(max(events) FILTER (place_of = 'beyond' AND kind = 'cancel' AND side = -1), 0) AS ask_cancel_count_beyond,
    coalesce(max(volume) FILTER (place_of = 'beyond' AND kind = 'market' AND side = -1), 0) AS ask_market_volume_beyond,
    coalesce(max(events) FILTER (place_of = 'beyond' AND kind = 'market' AND side = -1), 0) AS ask_market_count_beyond,
    coalesce(max(volume) FILTER (place_of = 'hidden' AND kind = 'hidden' AND side = 1), 0) AS bid_hidden_volume,
    coalesce(max(volume) FILTER (place_of = 'hidden' AND kind = 'hidden' AND side = -1), 0) AS ask_hidden_volume,
    CAST(coalesce(sum(events) FILTER (place_of = 'none'), 0) AS BIGINT) AS unplaced_count,
    max(last_ns) AS last_ns
FROM cells
GROUP BY exchange, symbol, bar_seconds, start_ns;

CREATE OR REPLACE VIEW compiled_event_flow_bars.bars AS
SELECT
    *,
    CAST(make_timestamp_ns(start_ns) AS DATE) AS date
FROM seen;

-- How far the data goes: later events, or rows of the book.
CREATE OR REPLACE VIEW compiled_event_flow_bars.reached AS
SELECT
    exchange,
    symbol,
    max(epoch_ns(ts)) AS last_row_ns
FROM (SELECT exchange, symbol, ts FROM events UNION ALL SELECT exchange, symbol, ts FROM book)
GROUP BY exchange, symbol;

CREATE OR REPLACE VIEW compiled_event_flow_bars.event_flow_bars AS
SELECT
    exchange,
    symbol,
    date, -- UTC: date of bar_start
    bar_seconds, -- s: length of the bar
    make_timestamp_ns(start_ns) AS bar_start, -- UTC, ns: start of the bar, inclusive
    make_timestamp_ns(start_ns + bar_seconds * 1000000000) AS bar_end, -- UTC, ns: end, exclusive; known from then on
    bid_limit_volume_best, -- u: size of bid limit orders that came at the best quote or better
    bid_cancel_volume_best, -- u: size of bid orders that were cancelled at the best quote or better
    bid_market_volume_best, -- u: size of bid orders that market orders executed at the best quote or better
    bid_limit_volume_beyond, -- u: size of bid limit orders that came beyond the best quote
    bid_cancel_volume_beyond, -- u: size of bid orders that were cancelled beyond the best quote
    bid_market_volume_beyond, -- u: size of bid orders that market orders executed beyond the best quote
    ask_limit_volume_best, -- u: size of ask limit orders that came at the best quote or better
    ask_cancel_volume_best, -- u: size of ask orders that were cancelled at the best quote or better
    ask_market_volume_best, -- u: size of ask orders that market orders executed at the best quote or better
    ask_limit_volume_beyond, -- u: size of ask limit orders that came beyond the best quote
    ask_cancel_volume_beyond, -- u: size of ask orders that were cancelled beyond the best quote
    ask_market_volume_beyond, -- u: size of ask orders that market orders executed beyond the best quote
    bid_limit_count_best, -- 1: number of bid limit orders that came at the best quote or better
    bid_cancel_count_best, -- 1: number of bid orders that were cancelled at the best quote or better
    bid_market_count_best, -- 1: number of bid orders that market orders executed at the best quote or better
    bid_limit_count_beyond, -- 1: number of bid limit orders that came beyond the best quote
    bid_cancel_count_beyond, -- 1: number of bid orders that were cancelled beyond the best quote
    bid_market_count_beyond, -- 1: number of bid orders that market orders executed beyond the best quote
    ask_limit_count_best, -- 1: number of ask limit orders that came at the best quote or better
    ask_cancel_count_best, -- 1: number of ask orders that were cancelled at the best quote or better
    ask_market_count_best, -- 1: number of ask orders that market orders executed at the best quote or better
    ask_limit_count_beyond, -- 1: number of ask limit orders that came beyond the best quote
    ask_cancel_count_beyond, -- 1: number of ask orders that were cancelled beyond the best quote
    ask_market_count_beyond, -- 1: number of ask orders that market orders executed beyond the best quote
    bid_limit_count_best / bar_seconds AS bid_limit_rate_best, -- 1/s: bid_limit_count_best / bar_seconds
    bid_cancel_count_best / bar_seconds AS bid_cancel_rate_best, -- 1/s: bid_cancel_count_best / bar_seconds
    bid_market_count_best / bar_seconds AS bid_market_rate_best, -- 1/s: bid_market_count_best / bar_seconds
    bid_limit_count_beyond / bar_seconds AS bid_limit_rate_beyond, -- 1/s: bid_limit_count_beyond / bar_seconds
    bid_cancel_count_beyond / bar_seconds AS bid_cancel_rate_beyond, -- 1/s: bid_cancel_count_beyond / bar_seconds
    bid_market_count_beyond / bar_seconds AS bid_market_rate_beyond, -- 1/s: bid_market_count_beyond / bar_seconds
    ask_limit_count_best / bar_seconds AS ask_limit_rate_best, -- 1/s: ask_limit_count_best / bar_seconds
    ask_cancel_count_best / bar_seconds AS ask_cancel_rate_best, -- 1/s: ask_cancel_count_best / bar_seconds
    ask_market_count_best / bar_seconds AS ask_market_rate_best, -- 1/s: ask_market_count_best / bar_seconds
    ask_limit_count_beyond / bar_seconds AS ask_limit_rate_beyond, -- 1/s: ask_limit_count_beyond / bar_seconds
    ask_cancel_count_beyond / bar_seconds AS ask_cancel_rate_beyond, -- 1/s: ask_cancel_count_beyond / bar_seconds
    ask_market_count_beyond / bar_seconds AS ask_market_rate_beyond, -- 1/s: ask_market_count_beyond / bar_seconds
    bid_hidden_volume, -- u: size of hidden bid orders that were executed
    ask_hidden_volume, -- u: size of hidden ask orders that were executed
    unplaced_count, -- 1: events without a place: no quote before them, or not readable
    (bid_limit_volume_best - bid_cancel_volume_best - bid_market_volume_best)
    - (ask_limit_volume_best - ask_cancel_volume_best - ask_market_volume_best)
        AS event_ofi -- u: (limit - cancel - market volume) of the best bid less the same of the best ask [Cont 2014]
FROM bars
JOIN reached USING (exchange, symbol)
WHERE start_ns + bar_seconds * 1000000000 <= last_row_ns
ORDER BY exchange, symbol, bar_seconds, bar_start;

COPY (
    FROM compiled_event_flow_bars.event_flow_bars
) TO 'target/tables/event_flow_bars' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
