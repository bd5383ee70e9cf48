-- Optional: the agent makes its slot by itself. Run in the source database by the role of role.sql:
--   psql 'postgres://replicator@db/shop' -f slot.sql
-- Another name than millrace_shop: -v slot=NAME
\set ON_ERROR_STOP on
\if :{?slot}
\else
\set slot millrace_shop
\endif

SELECT current_setting('server_version_num')::int >= 170000 AS has_failover \gset
\if :has_failover
SELECT pg_create_logical_replication_slot(:'slot', 'pgoutput', failover => true);
\else
SELECT pg_create_logical_replication_slot(:'slot', 'pgoutput');
\endif
