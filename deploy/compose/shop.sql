-- The source: two tables, their owner, and Debezium's role, which makes its publication as a member of the owner.
CREATE ROLE shop;
CREATE ROLE debezium LOGIN REPLICATION PASSWORD 'debezium' IN ROLE shop;
GRANT CREATE ON DATABASE shop TO shop;
GRANT CREATE ON SCHEMA public TO shop;
SET ROLE shop;

CREATE TABLE customers (
    customer_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    email text
);
CREATE TABLE orders (
    order_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    customer_id bigint NOT NULL REFERENCES customers,
    status text NOT NULL,
    amount numeric(12, 2) NOT NULL,
    ordered_at timestamptz NOT NULL DEFAULT now()
);
INSERT INTO customers (name, email) VALUES ('Ada', 'ada@example.com'), ('Grace', NULL);
INSERT INTO orders (customer_id, status, amount) VALUES (1, 'paid', 12.50), (1, 'pending', 3.99), (2, 'paid', 100.00);
