-- model:       symbols
-- description: Symbols of each exchange, with base and quote in common terms
-- template:    symbols.sql.j2
-- inputs:      rows = ccxt_trades
-- options:     none
-- lookback:    0 s
-- publishes:   processed/ccxt/symbols (overwrite), by nothing
-- fingerprint: 0df7b8796f0bb0172fd80ee9
-- stages:      symbols, line 102
--              pairs, line 91
--              input, line 22
--
-- `run` executes these stages partition by partition, as one statement with a WITH, and publishes each atomically.
-- This file computes the same table in one go: run it from the folder of models.yaml, in a DuckDB shell. It
-- writes to target/tables/symbols.parquet, so that nothing published is touched.
-- Each stage is a view in a database in memory, so that you can stop at any and look:
-- FROM compiled_symbols.symbols LIMIT 10, or just FROM symbols where you have no table of that name.

ATTACH IF NOT EXISTS ':memory:' AS compiled_symbols;
SET search_path = '"' || current_database() || '"."' || current_schema() || '",' || '"compiled_symbols".main';

CREATE OR REPLACE VIEW compiled_symbols.input AS
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

CREATE OR REPLACE VIEW compiled_symbols.pairs AS
SELECT
    exchange,
    symbol,
    nullif(regexp_extract(upper(symbol), '^([^-/_:]+)[-/_]([A-Z][^-/_:]*)', ['base', 'quote']).base, '') AS base,
    nullif(regexp_extract(upper(symbol), '^([^-/_:]+)[-/_]([A-Z][^-/_:]*)', ['base', 'quote']).quote, '') AS quote,
    min(date) AS first_date,
    max(date) AS last_date
FROM input
GROUP BY exchange, symbol;

CREATE OR REPLACE VIEW compiled_symbols.symbols AS
SELECT
    exchange,
    symbol, -- name: as the venue names it: the key of all tables
    base, -- name: what is traded, in upper case; NULL where the symbol does not say
    quote, -- name: what it is paid with, in upper case; NULL where the symbol does not say
    CASE
        WHEN regexp_full_match(quote, 'USD|USDC|USDT|BUSD|DAI|TUSD|GUSD|USDP|PYUSD|FRAX|LUSD|FDUSD') THEN 'USD'
        WHEN quote = 'UST' AND last_date < DATE '2022-05-01' THEN 'USD'
        ELSE quote
    END AS quote_class, -- name: USD for dollars and stablecoins of it, else the quote
    base || '-' || quote_class AS symbol_norm, -- name: base and class of the quote: to join by, no key
    first_date, -- UTC: date of the first rows
    last_date -- UTC: date of the last rows
FROM pairs
ORDER BY exchange, symbol;

COPY (
    FROM compiled_symbols.symbols
) TO 'target/tables/symbols.parquet' (
    FORMAT parquet,
    COMPRESSION zstd,
    COMPRESSION_LEVEL 3,
    ROW_GROUP_SIZE 50000
);
