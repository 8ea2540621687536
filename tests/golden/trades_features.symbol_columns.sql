-- model:       trades_features
-- description: Features per trade, with rolling windows
-- template:    trades/features.sql.j2
-- inputs:      trades = ccxt_trades
-- options:     windows = [60, 300, 900]
--              max_gap = None
--              symbol_columns = True
-- lookback:    86400 s
-- publishes:   processed/ccxt/trades/features (overwrite), by exchange, symbol, date
-- fingerprint: 1e7a2106fa357701e4933c8c
-- stages:      trades_features, line 173
--              frames, line 156
--              returns, line 130
--              segments, line 122
--              gaps, line 113
--              ordered, line 104
--              priced, line 98
--              trades, line 29
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/trades_features, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_trades_features.trades_features LIMIT 10, or just FROM trades_features where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_trades_features;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_trades_features".main';

CREATE OR REPLACE VIEW compiled_trades_features.trades AS
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

CREATE OR REPLACE VIEW compiled_trades_features.priced AS
SELECT
    *,
    CASE WHEN amount IS NOT NULL THEN price END AS traded_price
FROM trades;

CREATE OR REPLACE VIEW compiled_trades_features.ordered AS
SELECT
    *,
    epoch_ns(ts) AS ns,
    row_number() OVER in_order AS row_place,
    lag(ns) OVER in_order AS before_ns
FROM priced
WINDOW in_order AS (PARTITION BY exchange, symbol ORDER BY date, ts, seq);

CREATE OR REPLACE VIEW compiled_trades_features.gaps AS
SELECT
    *,
    max(CASE WHEN before_ns - ns BETWEEN 1 AND 1000000000 THEN before_ns END)
        OVER (PARTITION BY exchange, symbol, date) AS late_until,
    coalesce(ns < late_until, false) AS is_late,
    NOT is_late AND coalesce(before_ns - ns > 1000000000, false) AS after_gap
FROM ordered;

CREATE OR REPLACE VIEW compiled_trades_features.segments AS
SELECT
    *,
    count(CASE WHEN NOT is_late THEN true END) OVER so_far AS place, -- BIGINT, where a sum would be HUGEINT
    CASE WHEN is_late THEN -row_place ELSE count(CASE WHEN after_gap THEN true END) OVER so_far END AS segment
FROM gaps
WINDOW so_far AS (PARTITION BY exchange, symbol ORDER BY row_place ROWS UNBOUNDED PRECEDING);

CREATE OR REPLACE VIEW compiled_trades_features.returns AS
SELECT
    *,
    (ns - least(min(ns) OVER its_date, min(CASE WHEN ns >= epoch_ns(date) THEN ns END) OVER recent_dates)) / 1e9
        AS age_s, -- a date sees no further back, however long a tape is silent
    price * amount AS dollar_volume, -- not NULL: price and amount are both valid
    CASE WHEN dollar_volume IS NOT NULL THEN amount END AS volume,
    CASE WHEN dollar_volume IS NOT NULL THEN side END AS valid_side,
    CASE
        WHEN epoch_ns(date - 1) <= lag(CASE WHEN traded_price IS NOT NULL THEN least(ns, epoch_ns(date)) END IGNORE NULLS) OVER in_order
            AND traded_price > 0
            AND lag(traded_price IGNORE NULLS) OVER in_order > 0
        THEN ln(traded_price / lag(traded_price IGNORE NULLS) OVER in_order)
    END AS log_return
FROM segments
WINDOW
    in_order AS (PARTITION BY exchange, symbol, segment ORDER BY place),
    its_date AS (
        PARTITION BY exchange, symbol, segment ORDER BY date - DATE '1970-01-01'
        RANGE BETWEEN CURRENT ROW AND CURRENT ROW
    ),
    recent_dates AS (
        PARTITION BY exchange, symbol, segment ORDER BY date - DATE '1970-01-01'
        RANGE BETWEEN 1 PRECEDING AND CURRENT ROW
    );

CREATE OR REPLACE VIEW compiled_trades_features.frames AS
SELECT
    *,
    place - min(place) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 60000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_60s,
    place - min(place) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 300000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_300s,
    place - min(place) OVER (
        PARTITION BY exchange, symbol, segment ORDER BY ns
        RANGE BETWEEN 900000000000 - 1 PRECEDING AND CURRENT ROW
    ) AS rows_900s
FROM returns;

CREATE OR REPLACE VIEW compiled_trades_features.trades_features AS
SELECT
    exchange,
    symbol,
    date,
    ts, -- UTC, ns: exchange time, else time of collection
    seq, -- 1: position of the row in its partition, in file order
    nullif(regexp_extract(upper(symbol), '^([^-/_:]+)[-/_]([A-Z][^-/_:]*)', ['base', 'quote']).base, '')
        AS base, -- name: what is traded, in upper case; NULL where the symbol does not say
    nullif(regexp_extract(upper(symbol), '^([^-/_:]+)[-/_]([A-Z][^-/_:]*)', ['base', 'quote']).quote, '')
        AS quote, -- name: what it is paid with, in upper case; NULL where the symbol does not say
    CASE
        WHEN regexp_full_match(quote, 'USD|USDC|USDT|BUSD|DAI|TUSD|GUSD|USDP|PYUSD|FRAX|LUSD|FDUSD') THEN 'USD'
        WHEN quote = 'UST' AND date < DATE '2022-05-01' THEN 'USD'
        ELSE quote
    END AS quote_class, -- name: USD for dollars and stablecoins of it, else the quote
    base || '-' || quote_class AS symbol_norm, -- name: base and class of the quote: to join by, no key
    least(age_s, greatest(ns - epoch_ns(date), 0) / 1e9 + 86400)
        AS segment_age_s, -- s: since the segment started, as far back as a day before the date
    CAST(hour(ts) AS SMALLINT) AS hour_of_day, -- h: 0 to 23, UTC
    CAST(minute(ts) AS SMALLINT) AS minute_of_hour, -- min: 0 to 59, UTC
    CAST(isodow(ts) - 1 AS SMALLINT) AS day_of_week, -- 1: 0 is Monday, 6 is Sunday, UTC
    isodow(ts) >= 6 AS is_weekend, -- flag: Saturday or Sunday, UTC
    trade_id, -- name: as the venue names the trade
    price, -- q: price of the trade
    amount, -- u: size of the trade
    side, -- 1: 1 where the taker bought, -1 where the taker sold, NULL where unknown
    CAST(side = 1 AS SMALLINT) AS is_buy, -- 1: 1 where the taker bought, 0 where the taker sold, NULL where unknown
    coalesce(side, 0) AS trade_sign, -- 1: 1 buy, -1 sell, 0 unknown
    dollar_volume, -- q*u: price * amount
    trade_sign * amount AS signed_volume, -- u: trade_sign * amount
    log_return, -- 1: ln(price / price of the valid trade before), of the same date or the one before it
    sum(dollar_volume) OVER last_60s / nullif(sum(volume) OVER last_60s, 0)
        AS vwap_60s, -- q: sum of price * amount / sum of amount over 60 s
    sum(volume) OVER last_60s AS volume_60s, -- u: sum of amount over 60 s
    sum(dollar_volume) OVER last_60s AS dollar_volume_60s, -- q*u: sum of dollar_volume over 60 s
    count(dollar_volume) OVER last_60s AS trade_count_60s, -- 1: trades with a valid price and size in 60 s
    avg(CAST(valid_side = 1 AS SMALLINT)) OVER last_60s
        AS buy_trade_ratio_60s, -- 1: buys / trades with a side over 60 s, 0 to 1
    sum(log_return * log_return) OVER last_60s
        AS realized_var_60s, -- 1: sum of squares of log_return over 60 s
    sum(dollar_volume) OVER last_300s / nullif(sum(volume) OVER last_300s, 0)
        AS vwap_300s, -- q: sum of price * amount / sum of amount over 300 s
    sum(volume) OVER last_300s AS volume_300s, -- u: sum of amount over 300 s
    sum(dollar_volume) OVER last_300s AS dollar_volume_300s, -- q*u: sum of dollar_volume over 300 s
    count(dollar_volume) OVER last_300s AS trade_count_300s, -- 1: trades with a valid price and size in 300 s
    avg(CAST(valid_side = 1 AS SMALLINT)) OVER last_300s
        AS buy_trade_ratio_300s, -- 1: buys / trades with a side over 300 s, 0 to 1
    sum(log_return * log_return) OVER last_300s
        AS realized_var_300s, -- 1: sum of squares of log_return over 300 s
    sum(dollar_volume) OVER last_900s / nullif(sum(volume) OVER last_900s, 0)
        AS vwap_900s, -- q: sum of price * amount / sum of amount over 900 s
    sum(volume) OVER last_900s AS volume_900s, -- u: sum of amount over 900 s
    sum(dollar_volume) OVER last_900s AS dollar_volume_900s, -- q*u: sum of dollar_volume over 900 s
    count(dollar_volume) OVER last_900s AS trade_count_900s, -- 1: trades with a valid price and size in 900 s
    avg(CAST(valid_side = 1 AS SMALLINT)) OVER last_900s
        AS buy_trade_ratio_900s, -- 1: buys / trades with a side over 900 s, 0 to 1
    sum(log_return * log_return) OVER last_900s
        AS realized_var_900s -- 1: sum of squares of log_return over 900 s
FROM frames
WINDOW
    last_60s AS (
        PARTITION BY exchange, symbol, segment ORDER BY place
        ROWS BETWEEN rows_60s PRECEDING AND CURRENT ROW
    ),
    last_300s AS (
        PARTITION BY exchange, symbol, segment ORDER BY place
        ROWS BETWEEN rows_300s PRECEDING AND CURRENT ROW
    ),
    last_900s AS (
        PARTITION BY exchange, symbol, segment ORDER BY place
        ROWS BETWEEN rows_900s PRECEDING AND CURRENT ROW
    )
ORDER BY exchange, symbol, ts, seq;

COPY (
    FROM compiled_trades_features.trades_features
) TO 'target/tables/trades_features' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000,
    PARTITION_BY (exchange, symbol, date),
    OVERWRITE true
);
