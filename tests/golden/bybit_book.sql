-- model:       bybit_book
-- description: Order books, rebuilt from the updates of a feed
-- template:    orderbook/book.sql.j2
-- inputs:      updates = bybit_updates
-- options:     max_levels = 20
--              emit_interval = 0.0
--              crossed_books = 'hold'
--              max_crossed = 10.0
-- lookback:    0 s
-- publishes:   processed/bybit/book (overwrite), by exchange, symbol, date
-- fingerprint: 7d2af7ff2046720fb9fa7cf4
-- stages:      kernel_input, line 135
--              updates, line 128
--              in_time, line 118
--              messages, line 97
--              books, line 90
--              positioned, line 85
--              numbered, line 76
--              located, line 30
--
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_bybit_book.kernel_input LIMIT 10, or just FROM kernel_input where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_bybit_book;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_bybit_book".main';

CREATE OR REPLACE VIEW compiled_bybit_book.located AS
SELECT
    exchange,
    symbol,
    date,
    CASE
        WHEN coalesce(cts, ts, result.cts, result.ts) BETWEEN 631152000000 AND 4102444800000
        THEN make_timestamp_ns(1000000 * coalesce(cts, ts, result.cts, result.ts))
        WHEN coalesce(cts, ts, result.cts, result.ts) BETWEEN 631152000 AND 4102444800
          OR coalesce(cts, ts, result.cts, result.ts) BETWEEN 631152000000000 AND 4102444800000000
          OR coalesce(cts, ts, result.cts, result.ts) BETWEEN 631152000000000000 AND 4102444800000000000
        THEN CAST(error(
            'time ' || coalesce(cts, ts, result.cts, result.ts) || ' is not in ms since 1970 but in '
            || ['s', 'ms', 'us', 'ns'][length(CAST(coalesce(cts, ts, result.cts, result.ts) AS VARCHAR)) // 3 - 2]
        ) AS TIMESTAMP_NS)
    END AS ts,
    filename,
    regexp_replace(
        regexp_replace(filename, '([0-9]+)', '00000000000000000000\1', 'g'),
        '0*([0-9]{20})', '\1', 'g'
    ) AS file_order,
    row_number() OVER () AS line,
    CAST(topic AS VARCHAR) AS topic,
    CAST(type AS VARCHAR) AS type,
    CAST(ts AS BIGINT) AS raw_ts,
    CAST(cts AS BIGINT) AS cts,
    CAST(data AS STRUCT(s VARCHAR, b DOUBLE[][], a DOUBLE[][], u BIGINT, ts BIGINT, cts BIGINT)) AS data,
    CAST(result AS STRUCT(s VARCHAR, b DOUBLE[][], a DOUBLE[][], u BIGINT, ts BIGINT, cts BIGINT)) AS result
FROM read_json(
    [
        'lake/raw/bybit/orderbook/**/[!_.]*.ndjson*'
    ],
    format = 'newline_delimited',
    columns = {
        'topic': 'VARCHAR',
        'type': 'VARCHAR',
        'ts': 'BIGINT',
        'cts': 'BIGINT',
        'data': 'STRUCT(s VARCHAR, b DOUBLE[][], a DOUBLE[][], u BIGINT, ts BIGINT, cts BIGINT)',
        'result': 'STRUCT(s VARCHAR, b DOUBLE[][], a DOUBLE[][], u BIGINT, ts BIGINT, cts BIGINT)'
    },
    ignore_errors = true,
    hive_partitioning = true,
    hive_types = {'exchange': VARCHAR, 'symbol': VARCHAR, 'date': DATE}
);

CREATE OR REPLACE VIEW compiled_bybit_book.numbered AS
SELECT
    *,
    row_number() OVER (
        PARTITION BY exchange, symbol, date
        ORDER BY file_order, filename, line
    ) - 1 AS seq
FROM located;

CREATE OR REPLACE VIEW compiled_bybit_book.positioned AS
SELECT *
FROM numbered
WHERE CAST(ts AS TIMESTAMP) BETWEEN date - INTERVAL 86400 SECONDS AND date + INTERVAL 172800 SECONDS;

CREATE OR REPLACE VIEW compiled_bybit_book.books AS
SELECT
    *,
    coalesce(data, result) AS book
FROM positioned
WHERE (data IS NOT NULL OR result IS NOT NULL) AND coalesce(topic, 'orderbook.') LIKE 'orderbook.%';

CREATE OR REPLACE VIEW compiled_bybit_book.messages AS
SELECT
    exchange,
    symbol,
    date,
    seq,
    CASE WHEN data IS NOT NULL THEN ts END AS sent,
    list_transform(coalesce(book.b, []), lambda x: {'side': 1, 'price': x[1], 'size': x[2]})
    || list_transform(coalesce(book.a, []), lambda x: {'side': -1, 'price': x[1], 'size': x[2]})
    || CASE
        WHEN book.b IS NULL OR book.a IS NULL OR book.u IS NULL
        THEN [{'side': 0, 'price': CAST(NULL AS DOUBLE), 'size': CAST(NULL AS DOUBLE)}]
        ELSE []
    END AS levels,
    coalesce(type = 'snapshot', false) OR data IS NULL OR book.u = 1 AS is_snapshot,
    false AS feed_break,
    CASE WHEN data IS NOT NULL THEN book.u END AS first_id,
    book.u AS last_id,
    CAST(NULL AS BIGINT) AS prev_id
FROM books;

CREATE OR REPLACE VIEW compiled_bybit_book.in_time AS
SELECT
    *,
    coalesce(
        max(sent) OVER (PARTITION BY exchange, symbol, date ORDER BY seq ROWS UNBOUNDED PRECEDING),
        CAST(date AS TIMESTAMP_NS)
    ) AS ts,
    CASE WHEN len(levels) > 0 THEN levels ELSE [NULL] END AS present
FROM messages;

CREATE OR REPLACE VIEW compiled_bybit_book.updates AS
SELECT
    *,
    unnest(present) AS level,
    generate_subscripts(present, 1) AS place
FROM in_time;

CREATE OR REPLACE VIEW compiled_bybit_book.kernel_input AS
SELECT
    exchange,
    symbol,
    date,
    ts,
    seq,
    CAST(CASE WHEN (level.price <= 0) IS NOT TRUE THEN level.side END AS SMALLINT) AS side,
    CAST(CASE WHEN (level.price <= 0) IS NOT TRUE THEN level.price END AS DOUBLE) AS price,
    CAST(CASE WHEN (level.price <= 0) IS NOT TRUE THEN level.size END AS DOUBLE) AS size,
    is_snapshot,
    feed_break,
    place = len(present) AS message_end,
    first_id,
    last_id,
    prev_id
FROM updates;

-- kernel book, version 5: Order books from level updates (L2)
--   options max_levels = 20, emit_interval = 0.0, crossed_books = 'hold', max_crossed = 10.0
--   reads ts, side, price, size, is_snapshot, feed_break, message_end, first_id, last_id, prev_id
--   gives ts: timestamp; time of the message
--   gives bid_levels: smallint; 1: bid levels, at most 20
--   gives ask_levels: smallint; 1: ask levels, at most 20
--   gives bid_price_00: double; q: price of bid level 0
--   gives bid_size_00: double; u: size of bid level 0
--   gives ask_price_00: double; q: price of ask level 0
--   gives ask_size_00: double; u: size of ask level 0
--   gives bid_price_01: double; q: price of bid level 1
--   gives bid_size_01: double; u: size of bid level 1
--   gives ask_price_01: double; q: price of ask level 1
--   gives ask_size_01: double; u: size of ask level 1
--   gives bid_price_02: double; q: price of bid level 2
--   gives bid_size_02: double; u: size of bid level 2
--   gives ask_price_02: double; q: price of ask level 2
--   gives ask_size_02: double; u: size of ask level 2
--   gives bid_price_03: double; q: price of bid level 3
--   gives bid_size_03: double; u: size of bid level 3
--   gives ask_price_03: double; q: price of ask level 3
--   gives ask_size_03: double; u: size of ask level 3
--   gives bid_price_04: double; q: price of bid level 4
--   gives bid_size_04: double; u: size of bid level 4
--   gives ask_price_04: double; q: price of ask level 4
--   gives ask_size_04: double; u: size of ask level 4
--   gives bid_price_05: double; q: price of bid level 5
--   gives bid_size_05: double; u: size of bid level 5
--   gives ask_price_05: double; q: price of ask level 5
--   gives ask_size_05: double; u: size of ask level 5
--   gives bid_price_06: double; q: price of bid level 6
--   gives bid_size_06: double; u: size of bid level 6
--   gives ask_price_06: double; q: price of ask level 6
--   gives ask_size_06: double; u: size of ask level 6
--   gives bid_price_07: double; q: price of bid level 7
--   gives bid_size_07: double; u: size of bid level 7
--   gives ask_price_07: double; q: price of ask level 7
--   gives ask_size_07: double; u: size of ask level 7
--   gives bid_price_08: double; q: price of bid level 8
--   gives bid_size_08: double; u: size of bid level 8
--   gives ask_price_08: double; q: price of ask level 8
--   gives ask_size_08: double; u: size of ask level 8
--   gives bid_price_09: double; q: price of bid level 9
--   gives bid_size_09: double; u: size of bid level 9
--   gives ask_price_09: double; q: price of ask level 9
--   gives ask_size_09: double; u: size of ask level 9
--   gives bid_price_10: double; q: price of bid level 10
--   gives bid_size_10: double; u: size of bid level 10
--   gives ask_price_10: double; q: price of ask level 10
--   gives ask_size_10: double; u: size of ask level 10
--   gives bid_price_11: double; q: price of bid level 11
--   gives bid_size_11: double; u: size of bid level 11
--   gives ask_price_11: double; q: price of ask level 11
--   gives ask_size_11: double; u: size of ask level 11
--   gives bid_price_12: double; q: price of bid level 12
--   gives bid_size_12: double; u: size of bid level 12
--   gives ask_price_12: double; q: price of ask level 12
--   gives ask_size_12: double; u: size of ask level 12
--   gives bid_price_13: double; q: price of bid level 13
--   gives bid_size_13: double; u: size of bid level 13
--   gives ask_price_13: double; q: price of ask level 13
--   gives ask_size_13: double; u: size of ask level 13
--   gives bid_price_14: double; q: price of bid level 14
--   gives bid_size_14: double; u: size of bid level 14
--   gives ask_price_14: double; q: price of ask level 14
--   gives ask_size_14: double; u: size of ask level 14
--   gives bid_price_15: double; q: price of bid level 15
--   gives bid_size_15: double; u: size of bid level 15
--   gives ask_price_15: double; q: price of ask level 15
--   gives ask_size_15: double; u: size of ask level 15
--   gives bid_price_16: double; q: price of bid level 16
--   gives bid_size_16: double; u: size of bid level 16
--   gives ask_price_16: double; q: price of ask level 16
--   gives ask_size_16: double; u: size of ask level 16
--   gives bid_price_17: double; q: price of bid level 17
--   gives bid_size_17: double; u: size of bid level 17
--   gives ask_price_17: double; q: price of ask level 17
--   gives ask_size_17: double; u: size of ask level 17
--   gives bid_price_18: double; q: price of bid level 18
--   gives bid_size_18: double; u: size of bid level 18
--   gives ask_price_18: double; q: price of ask level 18
--   gives ask_size_18: double; u: size of ask level 18
--   gives bid_price_19: double; q: price of bid level 19
--   gives bid_size_19: double; u: size of bid level 19
--   gives ask_price_19: double; q: price of ask level 19
--   gives ask_size_19: double; u: size of ask level 19
--   gives feed_reset: boolean; 1: the feed broke between the row before and this one
--   gives held_messages: bigint; 1: messages held back since the row before, the book being crossed

COPY (
    -- Books in time order, as a kernel gave them.
    SELECT
        exchange,
        symbol,
        date,
        ts, -- UTC, ns: of the message after which the book was so
        row_number() OVER () - 1 AS seq, -- 1: position of the row in its partition
        bid_levels, -- 1: bid levels given, at most 20
        ask_levels, -- 1: ask levels given, at most 20
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
        feed_reset, -- flag: the feed broke between the row before and this one
        held_messages -- 1: messages held back since the row before, because the book was crossed
    FROM (
        SELECT *
        FROM kernel_rows
    )
) TO 'target/tables/bybit_book' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
