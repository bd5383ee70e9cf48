-- The connector's user, and its two tables. Run once by an administrator of the server; MySQL 8 and MariaDB 10.5 or later:
--   mysql -u root -p < role.sql
-- Put a password in the place of CHANGE_ME, and your own database in the place of shop.
CREATE USER 'debezium'@'%' IDENTIFIED BY 'CHANGE_ME';

-- Reads the binlog, and asks where it stands. MariaDB calls the second right BINLOG MONITOR and takes this name for it.
GRANT REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO 'debezium'@'%';
-- The snapshot's short global read lock, under which the binlog's position is read.
GRANT RELOAD ON *.* TO 'debezium'@'%';
GRANT SHOW DATABASES ON *.* TO 'debezium'@'%';
-- What is captured, and nothing else.
GRANT SELECT ON shop.* TO 'debezium'@'%';
-- Only where RELOAD can't be had (managed services): the snapshot then locks tables.
-- GRANT LOCK TABLES ON shop.* TO 'debezium'@'%';

CREATE DATABASE IF NOT EXISTS debezium;
CREATE TABLE debezium.heartbeat (id int PRIMARY KEY, beat_at timestamp(6) NOT NULL DEFAULT CURRENT_TIMESTAMP(6));
INSERT INTO debezium.heartbeat (id) VALUES (1);
CREATE TABLE debezium.debezium_signal (id varchar(64) PRIMARY KEY, type varchar(32) NOT NULL, data varchar(2048));
GRANT SELECT, UPDATE ON debezium.heartbeat TO 'debezium'@'%';
GRANT SELECT, INSERT, DELETE ON debezium.debezium_signal TO 'debezium'@'%';
