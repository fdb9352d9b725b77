/* The inner loops of three routes: rows of SQLite to COPY's text, COPY's data out of libpq, COPY's text
 * into SQLite.
 *
 * Nothing is linked. The functions of SQLite and libpq are looked up in the very libraries that Python's
 * sqlite3 and psycopg have loaded: a second copy of SQLite in one process would break its file locks.
 * What is not plain is refused here ("misfit") and done by the Python of the routes.
 */
#define _GNU_SOURCE
#include "_forward.h"
#include <dlfcn.h>
#include <locale.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

typedef struct sqlite3 sqlite3;
typedef struct sqlite3_stmt sqlite3_stmt;
typedef struct sqlite3_context sqlite3_context;
typedef struct sqlite3_value sqlite3_value;
typedef struct PGconn PGconn;

enum { LITE_OK = 0, LITE_ROW = 100, LITE_DONE = 101 };
enum { LITE_INTEGER = 1, LITE_FLOAT = 2, LITE_TEXT = 3, LITE_BLOB = 4, LITE_NULL = 5 };
enum { LITE_UTF8 = 1, LITE_DIRECTONLY = 0x80000 };
#define KEPT ((void (*)(void *))0) /* SQLITE_STATIC: the bytes outlive the step */

static struct {
    int (*auto_extension)(void (*)(void));
    int (*create_function_v2)(sqlite3 *, const char *, int, int, void *,
                              void (*)(sqlite3_context *, int, sqlite3_value **),
                              void (*)(sqlite3_context *, int, sqlite3_value **),
                              void (*)(sqlite3_context *), void (*)(void *));
    sqlite3 *(*context_db_handle)(sqlite3_context *);
    void (*result_int64)(sqlite3_context *, int64_t);
    int (*prepare_v2)(sqlite3 *, const char *, int, sqlite3_stmt **, const char **);
    int (*step)(sqlite3_stmt *);
    int (*reset)(sqlite3_stmt *);
    int (*finalize)(sqlite3_stmt *);
    sqlite3 *(*db_handle)(sqlite3_stmt *);
    int (*extended_errcode)(sqlite3 *);
    const char *(*errmsg)(sqlite3 *);
    int (*changes)(sqlite3 *);
    int (*column_count)(sqlite3_stmt *);
    sqlite3_value *(*column_value)(sqlite3_stmt *, int);
    int (*value_type)(sqlite3_value *);
    int64_t (*value_int64)(sqlite3_value *);
    double (*value_double)(sqlite3_value *);
    const unsigned char *(*value_text)(sqlite3_value *);
    const void *(*value_blob)(sqlite3_value *);
    int (*value_bytes)(sqlite3_value *);
    int (*bind_parameter_count)(sqlite3_stmt *);
    int (*bind_null)(sqlite3_stmt *, int);
    int (*bind_int64)(sqlite3_stmt *, int, int64_t);
    int (*bind_double)(sqlite3_stmt *, int, double);
    int (*bind_text)(sqlite3_stmt *, int, const char *, int, void (*)(void *));
    int (*bind_blob)(sqlite3_stmt *, int, const void *, int, void (*)(void *));
} lite;

static struct {
    int (*getCopyData)(PGconn *, char **, int);
    int (*consumeInput)(PGconn *);
    void (*freemem)(void *);
    char *(*errorMessage)(const PGconn *);
    int (*sslInUse)(PGconn *);
    int (*gssEncInUse)(PGconn *);
} pq;

static locale_t plain; /* numbers with a point, whatever the process speaks */
static PyObject *sqlite_error;

static void *found(void *library, const char *prefix, const char *name)
{
    char symbol[64];
    PyOS_snprintf(symbol, sizeof symbol, "%s%s", prefix, name);
    return dlsym(library, symbol);
}

static void tell_handle(sqlite3_context *context, int count, sqlite3_value **values)
{
    (void)count, (void)values;
    lite.result_int64(context, (int64_t)(intptr_t)lite.context_db_handle(context));
}

static int greet(sqlite3 *db, char **message, const void *api)
{
    (void)message, (void)api;
    return lite.create_function_v2(db, "_syncmon_handle", 0, LITE_UTF8 | LITE_DIRECTONLY, NULL,
                                   tell_handle, NULL, NULL, NULL);
}

/* use_sqlite(path of the module _sqlite3 or None, error class) -> bool */
static PyObject *use_sqlite(PyObject *self, PyObject *args)
{
    const char *path;
    PyObject *error;
    (void)self;
    if (!PyArg_ParseTuple(args, "zO", &path, &error))
        return NULL;
    void *library = dlopen(path, RTLD_LAZY | (path ? RTLD_NOLOAD : 0));
    if (library == NULL)
        Py_RETURN_FALSE;
#define FIND(name) \
    if ((*(void **)&lite.name = found(library, "sqlite3_", #name)) == NULL) Py_RETURN_FALSE
    FIND(auto_extension); FIND(create_function_v2); FIND(context_db_handle); FIND(result_int64);
    FIND(prepare_v2); FIND(step); FIND(reset); FIND(finalize); FIND(db_handle);
    FIND(extended_errcode); FIND(errmsg); FIND(changes); FIND(column_count); FIND(column_value);
    FIND(value_type); FIND(value_int64); FIND(value_double); FIND(value_text); FIND(value_blob);
    FIND(value_bytes); FIND(bind_parameter_count); FIND(bind_null); FIND(bind_int64);
    FIND(bind_double); FIND(bind_text); FIND(bind_blob);
#undef FIND
    Py_INCREF(error);
    Py_XDECREF(sqlite_error);
    sqlite_error = error;
    if (lite.auto_extension((void (*)(void))greet) != LITE_OK)
        Py_RETURN_FALSE;
    Py_RETURN_TRUE;
}

/* use_libpq(path of psycopg's own module) -> bool */
static PyObject *use_libpq(PyObject *self, PyObject *args)
{
    const char *path;
    (void)self;
    if (!PyArg_ParseTuple(args, "s", &path))
        return NULL;
    void *library = dlopen(path, RTLD_LAZY | RTLD_NOLOAD);
    if (library == NULL)
        Py_RETURN_FALSE;
#define FIND(name, symbol) \
    if ((*(void **)&pq.name = found(library, "PQ", symbol)) == NULL) Py_RETURN_FALSE
    FIND(getCopyData, "getCopyData"); FIND(consumeInput, "consumeInput");
    FIND(freemem, "freemem"); FIND(errorMessage, "errorMessage");
    FIND(sslInUse, "sslInUse"); FIND(gssEncInUse, "gssEncInUse");
#undef FIND
    Py_RETURN_TRUE;
}

/* is_plain(PGconn) -> bool: what passes its socket is the protocol itself, not encrypted */
static PyObject *is_plain(PyObject *self, PyObject *address)
{
    (void)self;
    unsigned long long pointer = PyLong_AsUnsignedLongLong(address);
    if (PyErr_Occurred())
        return NULL;
    PGconn *connection = (PGconn *)(uintptr_t)pointer;
    return PyBool_FromLong(!pq.sslInUse(connection) && !pq.gssEncInUse(connection));
}

/* -- a buffer that grows ------------------------------------------------------------------------ */

typedef struct {
    char *data;
    size_t size, room;
} Buffer;

static int reserve(Buffer *buffer, size_t more)
{
    if (buffer->size + more <= buffer->room)
        return 0;
    size_t room = buffer->room ? buffer->room : 65536;
    while (room < buffer->size + more)
        room *= 2;
    char *data = realloc(buffer->data, room);
    if (data == NULL)
        return -1;
    buffer->data = data;
    buffer->room = room;
    return 0;
}

/* -- libpq -------------------------------------------------------------------------------------- */

/* A row that is handed on in parts: the driver has it whole, nobody else need have it. */
typedef struct {
    char *row;
    size_t size, given;
} Rest;

static const char REST[] = "syncmon.rest";

static void end_rest(PyObject *capsule)
{
    Rest *rest = PyCapsule_GetPointer(capsule, REST);
    if (rest->row != NULL)
        pq.freemem(rest->row);
    free(rest);
}

/* rest() -> what take() remembers of a COPY whose rows may be parted */
static PyObject *new_rest(PyObject *self, PyObject *none)
{
    (void)self, (void)none;
    Rest *rest = calloc(1, sizeof *rest);
    PyObject *capsule = rest == NULL ? PyErr_NoMemory() : PyCapsule_New(rest, REST, end_rest);
    if (capsule == NULL)
        free(rest);
    return capsule;
}

/* take(PGconn, rest or None, rows, bytes) -> (data, rows, state): what has arrived of a COPY, its rows
 * joined. With a rest, a row of more bytes comes in parts, and is counted with its last one.
 * state: 0 = more may be there, 1 = wait for the server, 2 = the COPY has ended; -1 = error in data */
static PyObject *take(PyObject *self, PyObject *args)
{
    unsigned long long pointer;
    PyObject *capsule;
    Py_ssize_t rows, bytes, count = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "KOnn", &pointer, &capsule, &rows, &bytes))
        return NULL;
    PGconn *connection = (PGconn *)(uintptr_t)pointer;
    Rest *rest = NULL;
    if (capsule != Py_None && (rest = PyCapsule_GetPointer(capsule, REST)) == NULL)
        return NULL;
    if (rest != NULL && rest->row != NULL) {
        size_t size = rest->size - rest->given;
        if (size > (size_t)bytes)
            size = (size_t)bytes;
        char *part = rest->row + rest->given;
        int last = (rest->given += size) == rest->size;
        PyObject *answer = Py_BuildValue("y#ni", part, (Py_ssize_t)size, (Py_ssize_t)last, 0);
        if (last) {
            pq.freemem(rest->row);
            rest->row = NULL;
        }
        return answer;
    }
    Buffer buffer = {0};
    int state = 0, failed = 0, asked = 0;
    Py_BEGIN_ALLOW_THREADS;
    while (count < rows && buffer.size < (size_t)bytes) {
        char *row = NULL;
        int length = pq.getCopyData(connection, &row, 1);
        if (length > 0 && rest != NULL && length > bytes) {
            size_t size = (size_t)bytes - buffer.size; /* there is room: it was looked at above */
            failed = reserve(&buffer, size);
            if (failed) {
                pq.freemem(row);
                break;
            }
            memcpy(buffer.data + buffer.size, row, size);
            buffer.size += size;
            *rest = (Rest){.row = row, .size = (size_t)length, .given = size};
            break;
        }
        if (length > 0) {
            failed = reserve(&buffer, (size_t)length);
            if (!failed) {
                memcpy(buffer.data + buffer.size, row, (size_t)length);
                buffer.size += (size_t)length;
                count++;
            }
            pq.freemem(row);
            asked = 0;
            if (failed)
                break;
        } else if (length == 0) {
            if (asked) { /* nothing came with the last look either */
                state = 1;
                break;
            }
            asked = 1;
            if (!pq.consumeInput(connection)) {
                state = -1;
                break;
            }
        } else {
            state = length == -1 ? 2 : -1;
            break;
        }
    }
    Py_END_ALLOW_THREADS;
    if (failed) {
        free(buffer.data);
        return PyErr_NoMemory();
    }
    PyObject *answer;
    if (state == -1)
        answer = Py_BuildValue("s#ni", pq.errorMessage(connection),
                               (Py_ssize_t)strlen(pq.errorMessage(connection)), count, state);
    else
        answer = Py_BuildValue("y#ni", buffer.data ? buffer.data : "", (Py_ssize_t)buffer.size, count,
                               state);
    free(buffer.data);
    return answer;
}

/* -- statements of SQLite ----------------------------------------------------------------------- */

static const char NAME[] = "syncmon.statement";

typedef struct {
    sqlite3_stmt *statement;
    int within, column, given; /* where a row stands that is handed on in parts */
} Held;

static PyObject *failure(sqlite3 *db)
{
    PyObject *error = PyObject_CallFunction(sqlite_error, "s", lite.errmsg(db));
    if (error == NULL)
        return NULL;
    PyObject *code = PyLong_FromLong(lite.extended_errcode(db));
    if (code == NULL || PyObject_SetAttrString(error, "sqlite_errorcode", code) < 0) {
        Py_XDECREF(code);
        Py_DECREF(error);
        return NULL;
    }
    Py_DECREF(code);
    PyErr_SetObject(sqlite_error, error);
    Py_DECREF(error);
    return NULL;
}

static void end_statement(PyObject *capsule)
{
    Held *held = PyCapsule_GetPointer(capsule, NAME);
    lite.finalize(held->statement);
    free(held);
}

static Held *held_by(PyObject *capsule)
{
    Held *held = PyCapsule_GetPointer(capsule, NAME);
    if (held == NULL)
        return NULL;
    if (held->statement == NULL) {
        PyErr_SetString(PyExc_ValueError, "the statement was ended");
        return NULL;
    }
    return held;
}

/* end(statement): an open one keeps the file locked, and who knows for how long a traceback holds it */
static PyObject *end(PyObject *self, PyObject *capsule)
{
    (void)self;
    Held *held = PyCapsule_GetPointer(capsule, NAME);
    if (held == NULL)
        return NULL;
    lite.finalize(held->statement);
    held->statement = NULL;
    Py_RETURN_NONE;
}

static int bind_value(sqlite3_stmt *statement, int place, PyObject *value)
{
    if (value == Py_None)
        return lite.bind_null(statement, place);
    if (PyLong_Check(value)) {
        int64_t number = PyLong_AsLongLong(value);
        if (number == -1 && PyErr_Occurred())
            return -1;
        return lite.bind_int64(statement, place, number);
    }
    if (PyFloat_Check(value))
        return lite.bind_double(statement, place, PyFloat_AsDouble(value));
    Py_ssize_t size;
    if (PyUnicode_Check(value)) {
        const char *text = PyUnicode_AsUTF8AndSize(value, &size);
        return text == NULL ? -1
                            : lite.bind_text(statement, place, text, (int)size,
                                             (void (*)(void *))(intptr_t)-1);
    }
    char *data;
    if (PyBytes_AsStringAndSize(value, &data, &size) < 0)
        return -1;
    return lite.bind_blob(statement, place, data, (int)size, (void (*)(void *))(intptr_t)-1);
}

/* prepare(handle, sql, values) -> statement */
static PyObject *prepare(PyObject *self, PyObject *args)
{
    unsigned long long pointer;
    const char *sql;
    PyObject *values;
    (void)self;
    if (!PyArg_ParseTuple(args, "KsO!", &pointer, &sql, &PyList_Type, &values))
        return NULL;
    sqlite3 *db = (sqlite3 *)(uintptr_t)pointer;
    sqlite3_stmt *statement = NULL;
    if (lite.prepare_v2(db, sql, -1, &statement, NULL) != LITE_OK)
        return failure(db);
    Held *held = calloc(1, sizeof *held);
    PyObject *capsule = held == NULL ? PyErr_NoMemory() : PyCapsule_New(held, NAME, end_statement);
    if (capsule == NULL) {
        lite.finalize(statement);
        free(held);
        return NULL;
    }
    held->statement = statement;
    for (Py_ssize_t n = 0; n < PyList_Size(values); n++) {
        int code = bind_value(statement, (int)n + 1, PyList_GetItem(values, n));
        if (code != LITE_OK) {
            if (code > 0)
                failure(db);
            Py_DECREF(capsule);
            return NULL;
        }
    }
    return capsule;
}

/* -- SQLite to COPY's text ---------------------------------------------------------------------- */

/* What a column may hold, one byte each: see KINDS in compiled.py. A limit follows in `limits`. */
enum { INTEGER = 'i', REAL = 'r', TEXT = 't', BLOB = 'b', BOOLEAN = 'o', NUMBER = 'n', DATE = 'd',
       LENGTH = 'l', FILLED = 'c', DECIMALS = 's' };

static const char HEX[] = "0123456789abcdef";
static const unsigned char ESCAPES[256] = {
    ['\b'] = 'b', ['\t'] = 't', ['\n'] = 'n', ['\v'] = 'v', ['\f'] = 'f', ['\r'] = 'r', ['\\'] = '\\',
    [0] = 1 /* PostgreSQL has no text with a NUL */
};

static size_t put_integer(char *into, int64_t number)
{
    char digits[24];
    size_t length = 0, place = 0;
    uint64_t rest = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    do
        digits[length++] = (char)('0' + rest % 10);
    while (rest /= 10);
    if (number < 0)
        into[place++] = '-';
    while (length)
        into[place++] = digits[--length];
    return place;
}

/* The shortest text that reads back as the same number: of two texts of up to 15 digits only one does. */
static size_t put_real(char *into, double value)
{
    double scaled = fabs(value) * 1000000.0;
    if (scaled < 9e14) { /* up to six decimals: the quotient of exact integers is rounded once */
        int64_t whole = (int64_t)(scaled + 0.5);
        if ((double)whole / 1000000.0 == fabs(value)) {
            size_t place = 0;
            int64_t before = whole / 1000000, after = whole % 1000000;
            if (signbit(value))
                into[place++] = '-';
            place += put_integer(into + place, before);
            into[place++] = '.';
            for (int64_t unit = 100000; after > 0; unit /= 10) {
                into[place++] = (char)('0' + after / unit);
                after %= unit;
            }
            if (into[place - 1] == '.')
                into[place++] = '0';
            return place;
        }
    }
    PyGILState_STATE held = PyGILState_Ensure(); /* a rare number: Python's own shortest form */
    char *text = PyOS_double_to_string(value, 'r', 0, Py_DTSF_ADD_DOT_0, NULL);
    size_t length = text == NULL ? 0 : strlen(text);
    if (length > 32)
        length = 0;
    memcpy(into, text == NULL ? "" : text, length);
    PyMem_Free(text);
    PyGILState_Release(held);
    return length;
}

static int is_date(const unsigned char *text, int size)
{
    if (size != 10 || text[4] != '-' || text[7] != '-')
        return 0;
    for (int n = 0; n < 10; n++)
        if (n != 4 && n != 7 && (text[n] < '0' || text[n] > '9'))
            return 0;
    return 1;
}

static int characters(const unsigned char *text, int size)
{
    int count = 0;
    for (int n = 0; n < size; n++)
        count += (text[n] & 0xC0) != 0x80;
    return count;
}

enum { PART = 1 << 20 }; /* bytes of a value at a time: its text is never held as a whole */

/* The end of the part of a value that begins at `from`. */
static int part_end(int from, int size)
{
    return size - from > PART ? from + PART : size;
}

/* 2 = written, but for the rest from `given` on, 1 = written, 0 = misfit, -1 = no memory */
static int put_text(Buffer *buffer, const unsigned char *text, int size, int *given)
{
    int last = part_end(*given, size);
    if (reserve(buffer, 2 * (size_t)(last - *given) + 32) < 0)
        return -1;
    char *into = buffer->data + buffer->size;
    for (int n = *given; n < last; n++) {
        unsigned char escape = ESCAPES[text[n]];
        if (!escape)
            *into++ = (char)text[n];
        else if (escape == 1)
            return 0;
        else {
            *into++ = '\\';
            *into++ = (char)escape;
        }
    }
    buffer->size = (size_t)(into - buffer->data);
    *given = last;
    return last < size ? 2 : 1;
}

/* A column's value is asked for once: sqlite3_column_… take the connection's lock at each call, the functions
 * sqlite3_value_… take none. No other thread has this connection. */
static int put_value(Buffer *buffer, sqlite3_value *held, char kind, int limit, int *given)
{
    int type = lite.value_type(held);
    if (reserve(buffer, 64) < 0)
        return -1;
    char *end = buffer->data + buffer->size;
    if (type == LITE_NULL) {
        memcpy(end, "\\N", 2);
        buffer->size += 2;
        return 1;
    }
    int integer = kind == INTEGER || kind == NUMBER || kind == DECIMALS;
    if (type == LITE_INTEGER) {
        int64_t number = lite.value_int64(held);
        if (kind == BOOLEAN && (number == 0 || number == 1)) {
            *end = number ? 't' : 'f';
            buffer->size++;
            return 1;
        }
        const int64_t exact = (int64_t)1 << 53;
        if (!integer && !(kind == REAL && -exact <= number && number <= exact))
            return 0;
        buffer->size += put_integer(end, number);
        return 1;
    }
    if (type == LITE_FLOAT) {
        double value = lite.value_double(held);
        if ((kind != REAL && kind != NUMBER && kind != DECIMALS) || !isfinite(value))
            return 0;
        if (kind != REAL && value == 0 && signbit(value)) /* a numeric has no -0 */
            return 0;
        size_t length = put_real(end, value);
        if (length == 0)
            return 0;
        if (kind == DECIMALS) {
            char *point = memchr(end, '.', length);
            if (point == NULL || memchr(end, 'e', length) != NULL)
                return 0;
            int decimals = (int)(end + length - point) - 1;
            if (decimals > limit && !(decimals == 1 && point[1] == '0'))
                return 0;
        }
        buffer->size += length;
        return 1;
    }
    if (type == LITE_BLOB) {
        if (kind != BLOB)
            return 0;
        const unsigned char *data = lite.value_blob(held);
        int size = lite.value_bytes(held);
        int last = part_end(*given, size);
        if (reserve(buffer, 2 * (size_t)(last - *given) + 64) < 0)
            return -1;
        end = buffer->data + buffer->size;
        if (*given == 0) {
            memcpy(end, "\\\\x", 3);
            end += 3;
        }
        for (int n = *given; n < last; n++) {
            *end++ = HEX[data[n] >> 4];
            *end++ = HEX[data[n] & 15];
        }
        buffer->size = (size_t)(end - buffer->data);
        *given = last;
        return last < size ? 2 : 1;
    }
    const unsigned char *text = lite.value_text(held);
    int size = lite.value_bytes(held);
    if (text == NULL)
        return -1;
    if (*given > 0)
        return put_text(buffer, text, size, given);
    switch (kind) {
    case TEXT:
        break;
    case DATE:
        if (!is_date(text, size))
            return 0;
        break;
    case LENGTH:
        if (size > limit && characters(text, size) > limit)
            return 0;
        break;
    case FILLED:
        if (characters(text, size) != limit)
            return 0;
        break;
    default:
        return 0;
    }
    return put_text(buffer, text, size, given);
}

/* rows(statement, kinds, limits, rows, bytes) -> (data, rows, state)
 * state: 0 = more, 1 = a row does not fit, 2 = the last row was read. A row with a big value comes in parts,
 * and is counted with its last one. */
static PyObject *rows_text(PyObject *self, PyObject *args)
{
    PyObject *capsule, *limits;
    const char *kinds;
    Py_ssize_t width, rows, bytes, count = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy#Onn", &capsule, &kinds, &width, &limits, &rows, &bytes))
        return NULL;
    Held *held = held_by(capsule);
    char *most;
    Py_ssize_t size;
    if (held == NULL || PyBytes_AsStringAndSize(limits, &most, &size) < 0)
        return NULL;
    sqlite3_stmt *statement = held->statement;
    if (size != width * (Py_ssize_t)sizeof(int) || lite.column_count(statement) != (int)width) {
        PyErr_SetString(PyExc_ValueError, "a kind and a limit for each column");
        return NULL;
    }
    Buffer buffer = {0};
    int state = 0, code = LITE_ROW, fits = 1;
    Py_BEGIN_ALLOW_THREADS;
    while (count < rows && buffer.size < (size_t)bytes) {
        if (!held->within) {
            code = lite.step(statement);
            if (code != LITE_ROW)
                break;
            held->within = 1;
            held->column = 0;
        }
        while (held->column < (int)width) {
            int n = held->column, limit;
            memcpy(&limit, most + n * sizeof limit, sizeof limit);
            fits = put_value(&buffer, lite.column_value(statement, n), kinds[n], limit, &held->given);
            if (fits != 1)
                break;
            buffer.data[buffer.size++] = n + 1 < (int)width ? '\t' : '\n';
            held->given = 0;
            held->column++;
        }
        if (fits == 2)
            break;
        if (fits <= 0) {
            state = 1;
            break;
        }
        held->within = 0;
        count++;
    }
    Py_END_ALLOW_THREADS;
    if (code == LITE_DONE)
        state = 2;
    PyObject *answer = NULL;
    if (fits < 0)
        PyErr_NoMemory();
    else if (code != LITE_ROW && code != LITE_DONE)
        failure(lite.db_handle(statement));
    else
        answer = Py_BuildValue("y#ni", buffer.data ? buffer.data : "", (Py_ssize_t)buffer.size, count,
                               state);
    free(buffer.data);
    return answer;
}

/* -- COPY's text into SQLite -------------------------------------------------------------------- */

/* A field without its escapes, in place; the new end. Server encodings hold no raw backslash else. */
static char *without_escapes(char *text, char *end)
{
    char *from = memchr(text, '\\', (size_t)(end - text));
    if (from == NULL)
        return end;
    char *into = from;
    while (from < end) {
        if (*from != '\\' || from + 1 == end) {
            *into++ = *from++;
            continue;
        }
        from++;
        switch (*from) {
        case 'b': *into++ = '\b'; break;
        case 'f': *into++ = '\f'; break;
        case 'n': *into++ = '\n'; break;
        case 'r': *into++ = '\r'; break;
        case 't': *into++ = '\t'; break;
        case 'v': *into++ = '\v'; break;
        default: *into++ = *from;
        }
        from++;
    }
    return into;
}

static int digit(char letter)
{
    if (letter >= '0' && letter <= '9')
        return letter - '0';
    return letter >= 'a' && letter <= 'f' ? letter - 'a' + 10 : -1;
}

/* 1 = bound, 0 = misfit, -1 = error of SQLite */
static int bind_field(sqlite3_stmt *statement, int place, char kind, char *text, char *end)
{
    if (end - text == 2 && text[0] == '\\' && text[1] == 'N')
        return lite.bind_null(statement, place) == LITE_OK ? 1 : -1;
    char *stop;
    int code;
    switch (kind) {
    case INTEGER: {
        char *from = text + (*text == '-');
        if (from == end || end - from > 18) /* longer may not fit: left to Python */
            return 0;
        int64_t number = 0;
        for (; from < end; from++) {
            if (*from < '0' || *from > '9')
                return 0;
            number = number * 10 + (*from - '0');
        }
        code = lite.bind_int64(statement, place, *text == '-' ? -number : number);
        break;
    }
    case REAL: {
        char kept = *end;
        *end = 0;
        double value = strtod_l(text, &stop, plain);
        *end = kept;
        if (stop != end || !isfinite(value) || (value == 0 && signbit(value)))
            return 0;
        code = lite.bind_double(statement, place, value);
        break;
    }
    case BOOLEAN:
        if (end - text != 1 || (*text != 't' && *text != 'f'))
            return 0;
        code = lite.bind_int64(statement, place, *text == 't');
        break;
    case BLOB: {
        if (end - text < 3 || memcmp(text, "\\\\x", 3) != 0 || (end - text - 3) % 2)
            return 0;
        char *into = text;
        for (char *from = text + 3; from < end; from += 2) {
            int high = digit(from[0]), low = digit(from[1]);
            if (high < 0 || low < 0)
                return 0;
            *into++ = (char)(high << 4 | low);
        }
        code = lite.bind_blob(statement, place, text, (int)(into - text), KEPT);
        break;
    }
    case TEXT:
        end = without_escapes(text, end);
        code = lite.bind_text(statement, place, text, (int)(end - text), KEPT);
        break;
    default:
        return 0;
    }
    return code == LITE_OK ? 1 : -1;
}

/* land(statement, kinds, data, offset) -> (rows, offset, state): inserts the lines of `data`.
 * rows: that are there now. state: 1 = the line at `offset` does not fit and was not inserted, 2 = all
 * lines were given to SQLite */
static PyObject *land(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    const char *kinds, *data;
    Py_ssize_t width, size, offset, count = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "Oy#y#n", &capsule, &kinds, &width, &data, &size, &offset))
        return NULL;
    Held *held = held_by(capsule);
    if (held == NULL)
        return NULL;
    sqlite3_stmt *statement = held->statement;
    if (lite.bind_parameter_count(statement) != (int)width || offset < 0 || offset > size) {
        PyErr_SetString(PyExc_ValueError, "a kind for each parameter, and an offset within the data");
        return NULL;
    }
    char *line = malloc((size_t)(size - offset) + 1); /* changed in place while it is read */
    if (line == NULL)
        return PyErr_NoMemory();
    memcpy(line, data + offset, (size_t)(size - offset));
    char *all = line, *last = line + (size - offset);
    sqlite3 *db = lite.db_handle(statement);
    int state = 2, fits = 1, code = LITE_DONE;
    Py_BEGIN_ALLOW_THREADS;
    while (line < last) {
        char *end = memchr(line, '\n', (size_t)(last - line)), *field = line;
        if (end == NULL)
            fits = 0;
        for (int n = 0; n < (int)width && fits > 0; n++) {
            char *tab = n + 1 < (int)width ? memchr(field, '\t', (size_t)(end - field)) : end;
            if (tab == NULL) {
                fits = 0;
                break;
            }
            fits = bind_field(statement, n + 1, kinds[n], field, tab);
            field = tab + 1;
        }
        if (fits <= 0) {
            state = 1;
            break;
        }
        code = lite.step(statement);
        if (code != LITE_DONE)
            break;
        count += lite.changes(db); /* a trigger may have left the row out */
        lite.reset(statement);
        line = end + 1;
    }
    Py_END_ALLOW_THREADS;
    offset += line - all;
    PyObject *answer = NULL;
    if (fits < 0 || code != LITE_DONE)
        failure(lite.db_handle(statement));
    else
        answer = Py_BuildValue("nni", count, offset, state);
    lite.reset(statement);
    free(all);
    return answer;
}

static PyMethodDef methods[] = {
    {"use_sqlite", use_sqlite, METH_VARARGS, "Look SQLite's functions up; True where all are there."},
    {"use_libpq", use_libpq, METH_VARARGS, "Look libpq's functions up; True where all are there."},
    {"rest", new_rest, METH_NOARGS, "What is left of a row of a COPY that is taken in parts."},
    {"is_plain", is_plain, METH_O, "Whether a connection is not encrypted."},
    {"forwarding", new_forward, METH_VARARGS, "What a COPY to a COPY has under way."},
    {"forward", forward, METH_VARARGS, "Pass on what has arrived of a COPY."},
    {"take", take, METH_VARARGS, "What has arrived of a COPY."},
    {"prepare", prepare, METH_VARARGS, "A statement of SQLite with its values bound."},
    {"end", end, METH_O, "End a statement of SQLite."},
    {"rows", rows_text, METH_VARARGS, "Rows of a statement as COPY's text."},
    {"land", land, METH_VARARGS, "Insert lines of COPY's text."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef module = {
    PyModuleDef_HEAD_INIT, "_copy", "The inner loops of the routes.", -1, methods, NULL, NULL, NULL, NULL,
};

PyMODINIT_FUNC PyInit__copy(void)
{
    plain = newlocale(LC_ALL_MASK, "C", (locale_t)0);
    return PyModule_Create(&module);
}
