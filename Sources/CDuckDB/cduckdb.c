#include "cduckdb.h"

#include <dlfcn.h>
#include <stdio.h>
#include <string.h>

// Every function of the engine: X(return type, name, parameters, arguments).
#define ENGINE_FUNCTIONS(X) \
    X(const char *, duckdb_library_version, (void), ()) \
    X(duckdb_state, duckdb_create_config, (duckdb_config *c), (c)) \
    X(duckdb_state, duckdb_set_config, (duckdb_config c, const char *n, const char *o), (c, n, o)) \
    X(void, duckdb_destroy_config, (duckdb_config *c), (c)) \
    X(duckdb_state, duckdb_open_ext, (const char *p, duckdb_database *d, duckdb_config c, char **e), (p, d, c, e)) \
    X(void, duckdb_close, (duckdb_database *d), (d)) \
    X(duckdb_state, duckdb_connect, (duckdb_database d, duckdb_connection *c), (d, c)) \
    X(void, duckdb_disconnect, (duckdb_connection *c), (c)) \
    X(void, duckdb_interrupt, (duckdb_connection c), (c)) \
    X(void, duckdb_free, (void *p), (p)) \
    X(duckdb_state, duckdb_query, (duckdb_connection c, const char *q, duckdb_result *r), (c, q, r)) \
    X(duckdb_state, duckdb_prepare, \
      (duckdb_connection c, const char *q, duckdb_prepared_statement *s), (c, q, s)) \
    X(const char *, duckdb_prepare_error, (duckdb_prepared_statement s), (s)) \
    X(void, duckdb_destroy_prepare, (duckdb_prepared_statement *s), (s)) \
    X(idx_t, duckdb_nparams, (duckdb_prepared_statement s), (s)) \
    X(idx_t, duckdb_prepared_statement_column_count, (duckdb_prepared_statement s), (s)) \
    X(const char *, duckdb_prepared_statement_column_name, (duckdb_prepared_statement s, idx_t i), (s, i)) \
    X(duckdb_logical_type, duckdb_prepared_statement_column_logical_type, \
      (duckdb_prepared_statement s, idx_t i), (s, i)) \
    X(duckdb_statement_type, duckdb_prepared_statement_type, (duckdb_prepared_statement s), (s)) \
    X(duckdb_state, duckdb_execute_prepared, (duckdb_prepared_statement s, duckdb_result *r), (s, r)) \
    X(duckdb_state, duckdb_execute_prepared_streaming, (duckdb_prepared_statement s, duckdb_result *r), (s, r)) \
    X(duckdb_state, duckdb_bind_null, (duckdb_prepared_statement s, idx_t i), (s, i)) \
    X(duckdb_state, duckdb_bind_boolean, (duckdb_prepared_statement s, idx_t i, bool v), (s, i, v)) \
    X(duckdb_state, duckdb_bind_int64, (duckdb_prepared_statement s, idx_t i, int64_t v), (s, i, v)) \
    X(duckdb_state, duckdb_bind_double, (duckdb_prepared_statement s, idx_t i, double v), (s, i, v)) \
    X(duckdb_state, duckdb_bind_varchar_length, \
      (duckdb_prepared_statement s, idx_t i, const char *v, idx_t n), (s, i, v, n)) \
    X(duckdb_state, duckdb_bind_blob, (duckdb_prepared_statement s, idx_t i, const void *v, idx_t n), (s, i, v, n)) \
    X(duckdb_state, duckdb_bind_value, (duckdb_prepared_statement s, idx_t i, duckdb_value v), (s, i, v)) \
    X(duckdb_value, duckdb_create_uuid, (duckdb_uhugeint v), (v)) \
    X(void, duckdb_destroy_value, (duckdb_value *v), (v)) \
    X(void, duckdb_destroy_result, (duckdb_result *r), (r)) \
    X(const char *, duckdb_result_error, (duckdb_result *r), (r)) \
    X(idx_t, duckdb_rows_changed, (duckdb_result *r), (r)) \
    X(idx_t, duckdb_column_count, (duckdb_result *r), (r)) \
    X(const char *, duckdb_column_name, (duckdb_result *r, idx_t c), (r, c)) \
    X(duckdb_logical_type, duckdb_column_logical_type, (duckdb_result *r, idx_t c), (r, c)) \
    X(duckdb_data_chunk, duckdb_fetch_chunk, (duckdb_result r), (r)) \
    X(duckdb_logical_type, duckdb_create_logical_type, (duckdb_type t), (t)) \
    X(duckdb_logical_type, duckdb_create_decimal_type, (uint8_t w, uint8_t s), (w, s)) \
    X(void, duckdb_destroy_logical_type, (duckdb_logical_type *t), (t)) \
    X(duckdb_type, duckdb_get_type_id, (duckdb_logical_type t), (t)) \
    X(char *, duckdb_logical_type_get_alias, (duckdb_logical_type t), (t)) \
    X(uint8_t, duckdb_decimal_width, (duckdb_logical_type t), (t)) \
    X(uint8_t, duckdb_decimal_scale, (duckdb_logical_type t), (t)) \
    X(duckdb_type, duckdb_decimal_internal_type, (duckdb_logical_type t), (t)) \
    X(duckdb_logical_type, duckdb_list_type_child_type, (duckdb_logical_type t), (t)) \
    X(duckdb_logical_type, duckdb_array_type_child_type, (duckdb_logical_type t), (t)) \
    X(idx_t, duckdb_array_type_array_size, (duckdb_logical_type t), (t)) \
    X(duckdb_logical_type, duckdb_map_type_key_type, (duckdb_logical_type t), (t)) \
    X(duckdb_logical_type, duckdb_map_type_value_type, (duckdb_logical_type t), (t)) \
    X(idx_t, duckdb_struct_type_child_count, (duckdb_logical_type t), (t)) \
    X(char *, duckdb_struct_type_child_name, (duckdb_logical_type t, idx_t i), (t, i)) \
    X(duckdb_logical_type, duckdb_struct_type_child_type, (duckdb_logical_type t, idx_t i), (t, i)) \
    X(idx_t, duckdb_vector_size, (void), ()) \
    X(duckdb_data_chunk, duckdb_create_data_chunk, (duckdb_logical_type *t, idx_t n), (t, n)) \
    X(void, duckdb_destroy_data_chunk, (duckdb_data_chunk *c), (c)) \
    X(void, duckdb_data_chunk_reset, (duckdb_data_chunk c), (c)) \
    X(idx_t, duckdb_data_chunk_get_size, (duckdb_data_chunk c), (c)) \
    X(void, duckdb_data_chunk_set_size, (duckdb_data_chunk c, idx_t n), (c, n)) \
    X(duckdb_vector, duckdb_data_chunk_get_vector, (duckdb_data_chunk c, idx_t i), (c, i)) \
    X(void *, duckdb_vector_get_data, (duckdb_vector v), (v)) \
    X(uint64_t *, duckdb_vector_get_validity, (duckdb_vector v), (v)) \
    X(void, duckdb_vector_ensure_validity_writable, (duckdb_vector v), (v)) \
    X(void, duckdb_vector_assign_string_element_len, \
      (duckdb_vector v, idx_t i, const char *s, idx_t n), (v, i, s, n)) \
    X(duckdb_state, duckdb_appender_create_ext, \
      (duckdb_connection c, const char *g, const char *s, const char *t, duckdb_appender *a), (c, g, s, t, a)) \
    X(duckdb_state, duckdb_appender_add_column, (duckdb_appender a, const char *n), (a, n)) \
    X(duckdb_state, duckdb_append_data_chunk, (duckdb_appender a, duckdb_data_chunk c), (a, c)) \
    X(duckdb_state, duckdb_appender_flush, (duckdb_appender a), (a)) \
    X(duckdb_state, duckdb_appender_close, (duckdb_appender a), (a)) \
    X(duckdb_state, duckdb_appender_destroy, (duckdb_appender *a), (a)) \
    X(duckdb_error_data, duckdb_appender_error_data, (duckdb_appender a), (a)) \
    X(duckdb_error_type, duckdb_error_data_error_type, (duckdb_error_data e), (e)) \
    X(const char *, duckdb_error_data_message, (duckdb_error_data e), (e)) \
    X(void, duckdb_destroy_error_data, (duckdb_error_data *e), (e))

#define DEFINE_POINTER(result, name, parameters, arguments) static result(*engine_##name) parameters;
ENGINE_FUNCTIONS(DEFINE_POINTER)

#define DEFINE_WRAPPER(result, name, parameters, arguments) \
    result name parameters { return engine_##name arguments; }
ENGINE_FUNCTIONS(DEFINE_WRAPPER)

// Assigns without a UTF-8 check of the engine's own (1.5 and later); NULL in older libraries.
static void (*engine_assign_unchecked)(duckdb_vector vector, idx_t row, const char *bytes, idx_t length);

// Empties an appender's buffer; NULL in older libraries.
static duckdb_state (*engine_appender_clear)(duckdb_appender appender);

struct binding {
    const char *name;
    void **pointer;
};

#define BINDING(result, name, parameters, arguments) {#name, (void **)&engine_##name},
static const struct binding bindings[] = {ENGINE_FUNCTIONS(BINDING)};

cduckdb_load_status cduckdb_load(const char *library, const char *stub_or_null, char *error, size_t error_size) {
    // The stub only has to stand in the global scope while the library's symbols resolve, yet it can't be
    // closed afterwards: the library's data relocations point into it.
    if (stub_or_null != NULL && dlopen(stub_or_null, RTLD_NOW | RTLD_GLOBAL) == NULL) {
        snprintf(error, error_size, "%s", dlerror());
        return CDUCKDB_NO_STUB;
    }
    void *handle = dlopen(library, RTLD_NOW | RTLD_LOCAL);
    if (handle == NULL) {
        snprintf(error, error_size, "%s", dlerror());
        return CDUCKDB_NO_LIBRARY;
    }
    for (size_t i = 0; i < sizeof(bindings) / sizeof(bindings[0]); i++) {
        void *symbol = dlsym(handle, bindings[i].name);
        if (symbol == NULL) {
            snprintf(error, error_size, "it has no function %s", bindings[i].name);
            dlclose(handle);
            return CDUCKDB_NO_SYMBOL;
        }
        *bindings[i].pointer = symbol;
    }
    *(void **)&engine_assign_unchecked = dlsym(handle, "duckdb_unsafe_vector_assign_string_element_len");
    *(void **)&engine_appender_clear = dlsym(handle, "duckdb_appender_clear");
    return CDUCKDB_LOADED;
}

void cduckdb_appender_discard(duckdb_appender appender) {
    if (engine_appender_clear != NULL) {
        engine_appender_clear(appender);
    }
}

void cduckdb_assign_bytes(duckdb_vector vector, duckdb_string_t *data, idx_t row, const void *bytes, size_t length) {
    if (length <= sizeof(data->value.inlined.inlined)) {
        duckdb_string_t element;
        // Unused bytes must be zero: the engine compares and hashes all of them.
        memset(&element, 0, sizeof(element));
        element.value.inlined.length = (uint32_t)length;
        if (length > 0) {
            memcpy(element.value.inlined.inlined, bytes, length);
        }
        data[row] = element;
    } else if (engine_assign_unchecked != NULL) {
        engine_assign_unchecked(vector, row, bytes, length);
    } else {
        engine_duckdb_vector_assign_string_element_len(vector, row, bytes, length);
    }
}

bool cduckdb_is_utf8(const uint8_t *bytes, size_t length) {
    size_t i = 0;
    while (i < length) {
        // Most text is ASCII: eight bytes at a time.
        while (length - i >= 8) {
            uint64_t word;
            memcpy(&word, bytes + i, 8);
            if ((word & 0x8080808080808080ULL) != 0) {
                break;
            }
            i += 8;
        }
        if (i == length) {
            break;
        }
        uint8_t lead = bytes[i];
        if (lead < 0x80) {
            i += 1;
            continue;
        }
        size_t following;
        uint8_t second_min = 0x80, second_max = 0xBF;
        if (lead >= 0xC2 && lead <= 0xDF) {
            following = 1;
        } else if (lead >= 0xE0 && lead <= 0xEF) {
            following = 2;
            if (lead == 0xE0) second_min = 0xA0;  // overlong
            if (lead == 0xED) second_max = 0x9F;  // surrogates
        } else if (lead >= 0xF0 && lead <= 0xF4) {
            following = 3;
            if (lead == 0xF0) second_min = 0x90;  // overlong
            if (lead == 0xF4) second_max = 0x8F;  // above U+10FFFF
        } else {
            return false;
        }
        if (length - i <= following || bytes[i + 1] < second_min || bytes[i + 1] > second_max) {
            return false;
        }
        for (size_t k = 2; k <= following; k++) {
            if ((bytes[i + k] & 0xC0) != 0x80) {
                return false;
            }
        }
        i += following + 1;
    }
    return true;
}
