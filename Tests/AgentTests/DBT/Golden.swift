/// What `DBTProjectTests` expects, whole.
enum Golden {
    static let sources = #"""
        version: 2
        sources:
        - name: shop
          schema: shop_live
          description: "Tables of the pipeline shop as they are at its source: rows that live."
          tables:
          - name: orders
            description: "Orders: \"all\" {{ '{' }}{ of }} them"
            config:
              freshness:
                error_after:
                  count: 2
                  period: minute
              loaded_at_query: "select complete_as_of from {{ this.incorporate(path={'schema': '_millrace', 'identifier': 'freshness'}) }} where pipeline = 'shop' and source_schema = 'public' and source_table = 'orders' and until is null"
            data_tests:
            - not_null:
                name: shop__orders__in_set__status_2
                arguments:
                  column_name: "case when not (\"status\" IS NOT NULL AND NOT coalesce((\"status\" COLLATE \"C\") IN ('{{ x }}'), false)) then 1 end"
            - unique:
                name: shop__orders__unique__order_id__line
                arguments:
                  column_name: "case when \"OrderId\" is not null and \"line\" is not null then concat(coalesce(concat(length(cast(\"OrderId\" as text)), ':', cast(\"OrderId\" as text)), '-'), coalesce(concat(length(cast(\"line\" as text)), ':', cast(\"line\" as text)), '-')) end"
            - not_null:
                name: shop__orders__expression
                arguments:
                  column_name: "case when not ((\namount > 0\n) is false) then 1 end"
            - not_null:
                name: shop__orders__not_null__a_b_c
                arguments:
                  column_name: "\"a \"\"b\"\" {{ c }}\""
            columns:
            - name: "OrderId"
              quote: true
              data_type: bigint
            - name: line
              quote: true
              data_type: integer
              data_tests:
              - relationships:
                  name: shop__orders__foreign_key__line
                  arguments:
                    to: "source('shop', 'lines')"
                    field: "\"id\""
            - name: status
              quote: true
              data_type: text
              description: "yes"
              data_tests:
              - not_null:
                  name: shop__orders__not_null__status
                  config:
                    severity: warn
              - accepted_values:
                  name: shop__orders__in_set__status
                  arguments:
                    values:
                    - "paid"
                    - "it''s"
            - name: amount
              quote: true
              data_type: "numeric(12,2)"
            - name: "a \"b\" {{ '{' }}{ c }}"
              quote: true
          - name: lines
            columns:
            - name: id
              quote: true
              data_type: integer
          - name: event_log
            identifier: "Event \"\"Log\"\""
            columns:
            - name: what
              quote: true
              data_type: varchar
            - name: "What"
              quote: true
        - name: shop_current
          schema: shop
          description: "The same with rows that were deleted, marked as such: what incremental models read."
          tables:
          - name: orders
          - name: lines
          - name: event_log
            identifier: "Event \"\"Log\"\""

        """#

    /// In Postgres 15.
    static let orders = #"""
        {#- Rows that left the warehouse without a mark: erased ones, and those of a table that was made anew. #}
        {%- set drop_erased %}{% raw %}
        {%- if is_incremental() %}
        delete from {{ this }} as t
        where exists (
            select 1 from {{ source('shop_current', 'orders').incorporate(path={'schema': '_millrace', 'identifier': 'erasures'}) }}
            where pipeline = 'shop' and source_schema = 'public' and source_table = 'orders'
            and erased_at >= (
                select coalesce(
                    max("_loaded_at") - interval '{{ var("millrace_lookback", "3 hours") }}',
                    timestamp with time zone '1970-01-01 00:00:00+00'
                ) from {{ this }}
            )
            union all
            select 1 from {{ source('shop_current', 'orders').incorporate(path={'schema': '_millrace', 'identifier': 'tables'}) }}
            where pipeline = 'shop' and source_schema = 'public' and source_table = 'orders'
            and made_at >= (
                select coalesce(
                    max("_loaded_at") - interval '{{ var("millrace_lookback", "3 hours") }}',
                    timestamp with time zone '1970-01-01 00:00:00+00'
                ) from {{ this }}
            )
        )
        and not exists (
            select 1 from {{ source('shop_current', 'orders') }} as c
            where c."OrderId" = t."order_id" and c."line" = t."line"
        )
        {%- endif %}
        {% endraw %}{% endset %}
        {{ config(
            materialized='incremental',
            incremental_strategy='merge',
            unique_key=['"order_id"', '"line"'],
            on_schema_change='sync_all_columns',
            indexes=[{'columns': ['"order_id"', '"line"'], 'unique': true}],
            pre_hook=drop_erased,
            post_hook='delete from {{ this }} where "is_deleted"'
        ) }}
        {#- A column that the model didn't have before: all rows are read once more. #}
        {%- set columns = ['order_id', 'line', 'status', 'amount', 'a_b_c', '_source_updated_at', '_loaded_at', 'is_deleted'] %}
        {%- set known = adapter.get_columns_in_relation(this) | map(attribute='name') | list if is_incremental() else [] %}
        {%- set is_known = columns | reject('in', known) | list | length == 0 %}

        -- depends_on: {{ source('shop', 'orders') }}
        select
            cast("OrderId" as bigint) as "order_id",
            cast("line" as integer) as "line",
            cast("status" as text) as "status",
            cast("amount" as numeric(12,2)) as "amount",
            "a ""b"" {{ '{' }}{ c }}" as "a_b_c",
            "_source_updated_at" as "_source_updated_at",
            "_loaded_at" as "_loaded_at",
            "is_deleted" as "is_deleted"
        from {{ source('shop_current', 'orders') }}
        {%- if not is_incremental() %}
        where "is_deleted" is not true
        {%- elif is_known %}
        where "_loaded_at" >= (
            select coalesce(
                max("_loaded_at") - interval '{{ var("millrace_lookback", "3 hours") }}',
                timestamp with time zone '1970-01-01 00:00:00+00'
            ) from {{ this }}
        )
        {%- endif %}

        """#

    static let log = #"""
        -- The table has no key to merge by, so this is a view.
        {{ config(materialized='view') }}

        select
            cast("what" as varchar) as "what",
            "What" as "what_2"
        from {{ source('shop', 'event_log') }}

        """#
}
