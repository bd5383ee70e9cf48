-- The connector's login, change data capture, and the connector's two tables. Run once by a member of sysadmin:
--   sqlcmd -S db -i role.sql
-- Put a password in the place of CHANGE_ME, and your own database and tables in the place of shop, dbo.customers, dbo.orders.
USE master;
CREATE LOGIN debezium WITH PASSWORD = 'CHANGE_ME';
-- The connector asks whether SQL Server Agent runs, and for the newest position. On SQL Server 2022 and later
-- VIEW SERVER PERFORMANCE STATE is enough.
GRANT VIEW SERVER STATE TO debezium;
GO
USE shop;
CREATE USER debezium FOR LOGIN debezium;
-- Who has this role may read the change tables. Nobody else is put into it.
CREATE ROLE cdc_reader;
ALTER ROLE cdc_reader ADD MEMBER debezium;
EXEC sys.sp_cdc_enable_db;
GO
-- One call for each table. Without @captured_column_list every column is captured that the table has today.
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'customers',
    @role_name = N'cdc_reader', @supports_net_changes = 0;
EXEC sys.sp_cdc_enable_table @source_schema = N'dbo', @source_name = N'orders',
    @role_name = N'cdc_reader', @supports_net_changes = 0;
GRANT SELECT ON OBJECT::dbo.customers TO debezium;
GRANT SELECT ON OBJECT::dbo.orders TO debezium;
GRANT SELECT ON SCHEMA::cdc TO debezium;
GRANT EXECUTE ON SCHEMA::cdc TO debezium;
GRANT VIEW DATABASE STATE TO debezium;
GO
CREATE SCHEMA debezium;
GO
CREATE TABLE debezium.heartbeat (id int PRIMARY KEY, beat_at datetime2(3) NOT NULL);
INSERT INTO debezium.heartbeat VALUES (1, SYSUTCDATETIME());
CREATE TABLE debezium.debezium_signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));
EXEC sys.sp_cdc_enable_table @source_schema = N'debezium', @source_name = N'heartbeat',
    @role_name = N'cdc_reader', @supports_net_changes = 0;
EXEC sys.sp_cdc_enable_table @source_schema = N'debezium', @source_name = N'debezium_signal',
    @role_name = N'cdc_reader', @supports_net_changes = 0;
GRANT SELECT, UPDATE ON OBJECT::debezium.heartbeat TO debezium;
GRANT SELECT, INSERT ON OBJECT::debezium.debezium_signal TO debezium;
GO
