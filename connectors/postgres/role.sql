-- The source's role. Run once, in the source database, by a superuser:
--   psql -d shop -v password=… -f role.sql
-- Another name than replicator: -v replicator=NAME
\set ON_ERROR_STOP on
\if :{?replicator}
\else
\set replicator replicator
\endif

CREATE ROLE :"replicator" LOGIN REPLICATION PASSWORD :'password';
GRANT CONNECT ON DATABASE :"DBNAME" TO :"replicator";
