-- What of the source is replicated. Run once, in the source database, by the tables' owner:
--   psql -d shop -U shop_owner -v tables='public.customers, public.orders' -f tables.sql
-- Other names: -v schema=public -v replicator=replicator -v publication=millrace_shop
\set ON_ERROR_STOP on
\if :{?schema}
\else
\set schema public
\endif
\if :{?replicator}
\else
\set replicator replicator
\endif
\if :{?publication}
\else
\set publication millrace_shop
\endif

BEGIN;
GRANT USAGE ON SCHEMA :"schema" TO :"replicator";
GRANT SELECT ON TABLE :tables TO :"replicator";
-- A partitioned table is copied partition by partition.
SELECT format('GRANT SELECT ON TABLE %s TO %I', part.relid, :'replicator')
FROM unnest(string_to_array(:'tables', ',')) AS listed(name), pg_partition_tree(trim(listed.name)::regclass) AS part
WHERE part.level > 0 \gexec
-- For tables and partitions that are made later.
ALTER DEFAULT PRIVILEGES IN SCHEMA :"schema" GRANT SELECT ON TABLES TO :"replicator";
CREATE PUBLICATION :"publication" FOR TABLE :tables WITH (publish_via_partition_root = true);
COMMIT;
