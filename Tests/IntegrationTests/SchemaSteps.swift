/// The steps of the corpus' `schema_evolution`: what a source does to its tables, with rows before and after each.
struct SchemaStepCase: Sendable {
    var name: String
    var sql: String
    /// As docs/schema-changes.md classifies it.
    var kinds: [String]

    static let setup = """
        create table acc(id int primary key, name varchar(20), age int, doc text, legacy text);
        create table other(id int primary key, v text);
        insert into acc select i,'n'||i,20+i,'{"i":'||i||'}','L'||i from generate_series(1,4) i;
        insert into other values (1,'o');
        """

    static let all: [SchemaStepCase] = [
        .init(
            name: "rows before any change",
            sql: "insert into acc values (5,'n5',25,'{}','L5'); update acc set age=age+1 where id=1;", kinds: []),
        .init(
            name: "add nullable column",
            sql: """
                alter table acc add column city text;
                insert into acc values (6,'n6',26,'{}','L6','Oslo'); update acc set city='Rome' where id=1; update acc set age=99 where id=2;
                """, kinds: ["add_column"]),
        .init(
            name: "add column not null default",
            sql: """
                alter table acc add column score numeric(6,2) not null default 1.50;
                insert into acc(id,name) values (7,'n7'); update acc set score=2.5 where id=1; update acc set age=98 where id=2;
                """, kinds: ["add_column"]),
        .init(
            name: "add column with volatile default and serial",
            sql: """
                alter table acc add column ts timestamptz not null default '2024-01-01 00:00+00', add column seq bigserial;
                insert into acc(id,name) values (8,'n8');
                """, kinds: ["add_column", "add_column"]),
        .init(
            name: "drop column",
            sql: """
                alter table acc drop column legacy;
                insert into acc(id,name) values (9,'n9'); update acc set age=97 where id=2; delete from acc where id=3;
                """, kinds: ["drop_column"]),
        .init(
            name: "rename column",
            sql: """
                alter table acc rename column city to town;
                insert into acc(id,name,town) values (10,'n10','Kyiv'); update acc set town='Lima' where id=1;
                """, kinds: ["rename_column"]),
        .init(
            name: "widen varchar",
            sql: """
                alter table acc alter column name type varchar(200);
                insert into acc(id,name) values (11,repeat('long ',30)); update acc set name=repeat('x',150) where id=1;
                """, kinds: ["widen_type"]),
        .init(
            name: "int to bigint",
            sql: """
                alter table acc alter column age type bigint;
                insert into acc(id,name,age) values (12,'n12',9007199254740993); update acc set age=5000000000 where id=1;
                """, kinds: ["widen_type"]),
        .init(
            name: "text to jsonb",
            sql: """
                alter table acc alter column doc type jsonb using doc::jsonb;
                insert into acc(id,name,doc) values (13,'n13','{"k": [1,2]}'); update acc set doc='{"x":1}' where id=1;
                """, kinds: ["change_type"]),
        .init(
            name: "numeric scale change",
            sql: """
                alter table acc alter column score type numeric(12,4);
                insert into acc(id,name,score) values (14,'n14',1234.5678); update acc set score=3 where id=1;
                """, kinds: ["widen_type"]),
        .init(
            name: "bigint to text",
            sql: """
                alter table acc alter column age type text;
                insert into acc(id,name,age) values (15,'n15','abc'); update acc set age='fifty' where id=1;
                """, kinds: ["change_type"]),
        .init(
            name: "not null and default dropped",
            sql: """
                alter table acc alter column score drop not null, alter column score drop default;
                insert into acc(id,name) values (16,'n16'); update acc set score=null where id=1;
                """, kinds: ["drop_not_null"]),
        .init(
            name: "key to (id, seq)",
            sql: """
                alter table acc drop constraint acc_pkey, add primary key(id,seq);
                insert into acc(id,name) values (17,'n17'); update acc set name='pk2' where id=1; delete from acc where id=4;
                """, kinds: ["change_key"]),
        .init(
            name: "key to seq",
            sql: """
                alter table acc drop constraint acc_pkey, add primary key(seq);
                insert into acc(id,name) values (17,'dup id'); update acc set name='pk3' where id=1; delete from acc where id=5;
                """, kinds: ["change_key"]),
        .init(
            name: "new table",
            sql: """
                create table fresh(id int primary key, v text, n numeric(5,2) default 7);
                insert into fresh(id,v) values (1,'f1'); update fresh set v='f1u'; insert into fresh values (2,'f2',null); delete from fresh where id=2;
                """, kinds: ["new_table"]),
        .init(
            name: "rename table",
            sql: """
                alter table other rename to other2;
                insert into other2 values (2,'in renamed'); update other2 set v='x' where id=1;
                """, kinds: ["rename_table", "new_table"]),
        .init(
            name: "drop and make a table anew",
            sql: """
                drop table fresh; create table fresh(id bigint primary key, w int);
                insert into fresh values (1,111),(5000000000,2);
                """, kinds: ["drop_column", "drop_column", "widen_type", "add_column"]),
        .init(
            name: "new schema",
            sql: """
                create schema app; create table app.acc(id int primary key, v text); insert into app.acc values (1,'schema app');
                """, kinds: ["new_table"]),
        .init(
            name: "DDL inside one transaction with changes",
            sql: """
                begin; insert into app.acc values (2,'before ddl'); alter table app.acc add column extra int default 5; insert into app.acc values (3,'after ddl',6); update app.acc set extra=7 where id=2; commit;
                """, kinds: ["add_column"]),
        .init(
            name: "same name, other type",
            sql: """
                alter table app.acc drop column extra; alter table app.acc add column extra text; insert into app.acc values (4,'again','txt');
                """, kinds: ["drop_column", "add_column"]),
        .init(
            name: "enum value added",
            sql: """
                create type st as enum('a','b'); alter table app.acc add column st st default 'a'; insert into app.acc(id,st) values (5,'b'); alter type st add value 'c'; insert into app.acc(id,st) values (6,'c');
                """, kinds: ["add_column"]),
        // Read behind the last of them, when the catalog knows neither name any more: the renamed column counts as another.
        .init(
            name: "rapid DDL",
            sql: """
                insert into app.acc(id,v) values (20,'r0'); alter table app.acc add column r1 int; insert into app.acc(id,r1) values (21,1); alter table app.acc rename column r1 to r2; insert into app.acc(id,r2) values (22,2); alter table app.acc alter column r2 type bigint; insert into app.acc(id,r2) values (23,3); alter table app.acc drop column r2; insert into app.acc(id) values (24);
                """, kinds: ["add_column", "drop_column", "add_column", "widen_type", "drop_column"]),
    ]
}
