"""Reads a lake with the engines people use, and compares what they see.

usage: read_lake.py <lake>/events <expected rows>

Exits 0 when DuckDB, pyarrow and Polars each see the expected rows, nested columns included; 1 when one does not; 3 when
one of them is not installed.
"""

import sys

try:
    import duckdb
    import polars
    import pyarrow.dataset
except ImportError as error:
    print(f"missing: {error.name}")
    sys.exit(3)

events, expected = sys.argv[1], int(sys.argv[2])
files = f"{events}/**/*.parquet"
failures = []


def check(what, seen, wanted):
    if seen != wanted:
        failures.append(f"{what}: {seen!r} instead of {wanted!r}")


def by_duckdb(query):
    return duckdb.sql(query.replace("LAKE", f"read_parquet('{files}', hive_partitioning = true)")).fetchall()


def by_polars(lazy):
    return lazy.collect()


# Rows, each once, and the day of the folder is the day of the row.
check("duckdb rows", by_duckdb("select count(*), count(distinct rs_info.event_id) from LAKE"), [(expected, expected)])
check("duckdb days", by_duckdb("select count(*) from LAKE where day != date"), [(0,)])
dataset = pyarrow.dataset.dataset(events, partitioning="hive")
check("pyarrow rows", dataset.count_rows(), expected)
lake = polars.scan_parquet(files, hive_partitioning=True)
check("polars rows", by_polars(lake.select(polars.len())).item(), expected)

# One parameter per event, unnested: the question everybody asks first.
pages = by_duckdb("""
    select p.value.string_value as page, count(*) as views
    from LAKE, unnest(event_params) as u(p)
    where event_name = 'page_view' and p.key = 'page_location'
    group by all order by all
""")
check("duckdb pages", sum(views for _, views in pages), expected // 2)
params = (
    lake.filter(polars.col("event_name") == "page_view")
    .select(polars.col("event_params").explode())
    .unnest("event_params")
    .filter(polars.col("key") == "page_location")
    .select(polars.col("value").struct.field("string_value").alias("page"))
    .group_by("page")
    .agg(polars.len().alias("views"))
    .sort("page")
)
check("polars pages", [(page, views) for page, views in by_polars(params).rows()], pages)

# Money in items, and parameters of items: a list in a record in a list.
revenue = by_duckdb("select sum(i.price * i.quantity) from LAKE, unnest(items) as u(i)")
items = by_polars(lake.select(polars.col("items").explode()).unnest("items").select("price", "quantity").drop_nulls())
check("polars revenue", round((items["price"] * items["quantity"]).sum(), 2), round(revenue[0][0], 2))
colours = by_duckdb("""
    select c.value.string_value, count(*)
    from LAKE, unnest(items) as u(i), unnest(i.item_params) as v(c)
    where c.key = 'colour' group by all
""")
check("duckdb colours", colours, [("red", expected - expected // 2)])

# Records in records, numbers, times and nulls.
table = dataset.to_table(columns=["device", "synced_at_utc_", "user_pseudo_id", "rs_info", "session_traffic_source_last_click"])
check("pyarrow browsers", {row["web_info"]["browser"] for row in table["device"].to_pylist()}, {"Chrome"})
check("pyarrow time zone", str(table.schema.field("synced_at_utc_").type), "timestamp[us, tz=UTC]")
check("pyarrow nulls", table["session_traffic_source_last_click"].null_count, expected)
check(
    "duckdb visitors",
    by_duckdb("select count(distinct user_pseudo_id) from LAKE")[0][0],
    len(set(table["user_pseudo_id"].drop_null().to_pylist())),
)
check("duckdb time", by_duckdb("select count(*) from LAKE where epoch_us(synced_at_utc_) = synced_at_micros_"), [(expected,)])

for failure in failures:
    print(failure)
print(f"duckdb {duckdb.__version__}, pyarrow {pyarrow.__version__}, polars {polars.__version__}: {len(failures)} failures")
sys.exit(1 if failures else 0)
