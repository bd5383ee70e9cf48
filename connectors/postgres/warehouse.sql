-- The role that writes a Postgres warehouse. Run once, in the warehouse database, by a superuser or the database's owner
-- with CREATEROLE:
--   psql -d analytics -v password=… -f warehouse.sql
-- Another name than loader: -v loader=NAME
\set ON_ERROR_STOP on
\if :{?loader}
\else
\set loader loader
\endif

CREATE ROLE :"loader" LOGIN PASSWORD :'password';
GRANT CONNECT ON DATABASE :"DBNAME" TO :"loader";
-- Its schemas: _millrace, shop, shop_raw, shop_live, shop_history.
GRANT CREATE ON DATABASE :"DBNAME" TO :"loader";
-- Batches are staged in temporary tables.
GRANT TEMPORARY ON DATABASE :"DBNAME" TO :"loader";
