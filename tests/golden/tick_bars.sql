-- model:       tick_bars
-- description: Bars of equally many trades
-- template:    trades/event_bars.sql.j2
-- inputs:      trades = ccxt_trades
-- options:     tick_bar_size = 100
--              max_gap = None
--              emit_open_bars = False
-- lookback:    0 s
-- publishes:   processed/ccxt/trades/tick_bars (overwrite), by exchange, symbol, date
-- fingerprint: 5c1694eba8106cf56d50ed45
-- stages:      kernel_input, line 78
--              positioned, line 73
--              numbered, line 40
--              files_before, line 25
--
-- Kernels run before the last statement, where order and state matter: `run` gives them the rows of
-- kernel_input in time order, one symbol and one day after the other, each day from the state of the day before,
-- and calls what they give kernel_rows. A DuckDB shell runs the views as they are, and not the COPY.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_tick_bars.kernel_input LIMIT 10, or just FROM kernel_input where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_tick_bars;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_tick_bars".main';

CREATE OR REPLACE VIEW compiled_tick_bars.files_before AS
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
]);

CREATE OR REPLACE VIEW compiled_tick_bars.numbered AS
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
JOIN files_before USING (filename);

CREATE OR REPLACE VIEW compiled_tick_bars.positioned AS
SELECT *
FROM numbered
WHERE CAST(ts AS TIMESTAMP) BETWEEN date - INTERVAL 86400 SECONDS AND date + INTERVAL 172800 SECONDS;

CREATE OR REPLACE VIEW compiled_tick_bars.kernel_input AS
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

-- kernel tick_bars, version 2: Trades by bar of an equal number of trades
--   options tick_bar_size = 100, max_gap = None, classification = 'aggressor', bulk_bars = 50
--   reads ts, price, amount, side
--   gives bar_id: bigint; 1: number of the bar, from 0
--   gives ts: timestamp; time of the trade
--   gives price: double; q: price of the trade
--   gives volume: double; u: volume of this part of the trade
--   gives value: double; q*u: price * volume
--   gives side: smallint; 1: 1 the taker bought, -1 sold, 0 unknown
--   gives lots: bigint; 1: what this part adds to the bar, in lots
--   gives lots_per_unit: double; 1: lots of a volume, or value, of 1
--   gives part_of_split: boolean; 1: the trade was cut
--   gives has_gap: boolean; 1: more than max_gap passed since the trade before
--   gives is_closed: boolean; 1: the bar is full

COPY (
    -- Parts of trades in time order: a kernel split those that more than one bar shares.
    WITH parts AS (
        SELECT
            *,
            row_number() OVER () AS place
        FROM (
            SELECT *
            FROM kernel_rows
        )
        WHERE is_closed
    ),
    bars AS (
        SELECT
            exchange,
            symbol,
            date,
            bar_id,
            arg_min(ts, place) AS start_time,
            arg_max(ts, place) AS end_time,
            arg_min(price, place) AS open,
            max(price) AS high,
            min(price) AS low,
            arg_max(price, place) AS close,
            sum(volume) AS volume,
            sum(value) AS dollar_volume,
            coalesce(sum(volume) FILTER (side = 1), 0) AS buy_volume,
            coalesce(sum(volume) FILTER (side = -1), 0) AS sell_volume,
            coalesce(sum(volume) FILTER (side = 0), 0) AS unknown_volume,
            count(*) AS trade_count,
            bool_or(has_gap) AS has_gap,
            bool_and(is_closed) AS is_closed
        FROM parts
        GROUP BY exchange, symbol, date, bar_id
    )
    SELECT
        exchange,
        symbol,
        date, -- UTC: date on which the bar closes
        bar_id, -- 1: number of the bar in the history of its symbol, from 0 [Lopez de Prado 2018]
        start_time, -- UTC, ns: first trade of the bar
        end_time, -- UTC, ns: trade that fills the bar; known from then on
        (epoch_ns(end_time) - epoch_ns(start_time)) / 1e9 AS duration, -- s: from the first trade to the last
        open, -- q: first price
        high, -- q: highest price
        low, -- q: lowest price
        close, -- q: last price
        volume, -- u: sum of the sizes of its trades
        dollar_volume, -- q*u: sum of price * size
        buy_volume, -- u: volume that takers bought
        sell_volume, -- u: volume that takers sold
        unknown_volume, -- u: volume of unknown side
        dollar_volume / nullif(volume, 0) AS vwap, -- q: dollar_volume / volume
        buy_volume / nullif(buy_volume + sell_volume, 0) AS buy_ratio, -- 1: buy_volume / (buy_volume + sell_volume), 0 to 1
        trade_count, -- 1: trades that touch the bar
        has_gap, -- flag: a trade of the bar comes more than max_gap after the trade before it
        is_closed -- flag: false for the bar that is not full yet
    FROM bars
    ORDER BY bar_id
) TO 'target/tables/tick_bars' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
