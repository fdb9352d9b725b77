/* Rows from one PostgreSQL straight to another: what a COPY … TO STDOUT sends on one socket is what a
 * COPY … FROM STDIN takes on the other, and nothing of it need become an object of Python.
 *
 * libpq begins both commands and reads both results; between the two it must find its streams as it left
 * them. From the source no byte is taken that does not belong to a row: what has arrived is looked at
 * (MSG_PEEK), and taken up to where the last row ends. To the target go whole messages only.
 */
#define _GNU_SOURCE
#define PY_SSIZE_T_CLEAN
#include "_forward.h"
#include <errno.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#ifndef MSG_NOSIGNAL
#define MSG_NOSIGNAL 0 /* Python ignores SIGPIPE */
#endif

/* Rows are joined up to here into one message: a message for each row costs the target more than its bytes,
 * and what is looked at and then taken should still lie in the cache. */
enum { ROOM = 1 << 16, HEAD = 5 };

/* forward()'s answers */
enum { MORE = 0, SOURCE_WAIT = 1, ENDED = 2, TARGET_WAIT = 3, REFUSED = 4 };

typedef struct {
    int fd;
    size_t aside; /* bytes of a message that are to be let go */
} End;

typedef struct {
    End source, target;
    int refused;       /* the target has said something that ends the COPY */
    int held;          /* bytes of a row's head that were taken before its rest had come */
    size_t left;       /* bytes of the row that are still to come */
    size_t size, sent; /* of the message that is on its way to the target */
    unsigned char head[HEAD];
    unsigned char message[HEAD + HEAD + ROOM], spare[ROOM];
} Forward;

static const char NAME[] = "syncmon.forward";

static void end_forward(PyObject *capsule)
{
    free(PyCapsule_GetPointer(capsule, NAME));
}

/* forwarding(source's socket, target's socket) -> what forward() remembers */
PyObject *new_forward(PyObject *self, PyObject *args)
{
    int source, target;
    (void)self;
    if (!PyArg_ParseTuple(args, "ii", &source, &target))
        return NULL;
    Forward *way = calloc(1, sizeof *way);
    PyObject *capsule = way == NULL ? PyErr_NoMemory() : PyCapsule_New(way, NAME, end_forward);
    if (capsule == NULL) {
        free(way);
        return NULL;
    }
    way->source.fd = source;
    way->target.fd = target;
    return capsule;
}

static double now(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + (double)at.tv_nsec / 1e9;
}

static uint32_t length_of(const unsigned char *head)
{
    return (uint32_t)head[1] << 24 | (uint32_t)head[2] << 16 | (uint32_t)head[3] << 8 | head[4];
}

static int is_early(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK;
}

static ssize_t received(int fd, void *into, size_t size, int flags)
{
    ssize_t got;
    do
        got = recv(fd, into, size, flags | MSG_DONTWAIT);
    while (got < 0 && errno == EINTR);
    return got;
}

/* Take `size` bytes that were looked at: they are there. */
static int taken(Forward *way, size_t size)
{
    while (size > 0) {
        ssize_t got = received(way->source.fd, way->spare, size, 0);
        if (got <= 0)
            return -1;
        size -= (size_t)got;
    }
    return 0;
}

/* Let go of messages that are no part of the COPY and that nobody waits for: notices, settings,
 * notifications, and that a COPY begins. Gives the type of the message behind them, 0 where it has not come,
 * -1 where none will. */
static int beyond_asides(Forward *way, End *end)
{
    unsigned char head[HEAD];
    for (;;) {
        ssize_t got;
        if (end->aside > 0) {
            got = received(end->fd, way->spare, end->aside < ROOM ? end->aside : ROOM, 0);
            if (got <= 0)
                return got < 0 && is_early() ? 0 : -1;
            end->aside -= (size_t)got;
            continue;
        }
        got = received(end->fd, head, HEAD, MSG_PEEK);
        if (got <= 0)
            return got < 0 && is_early() ? 0 : -1;
        if (memchr("NSAH", head[0], 4) == NULL)
            return head[0];
        if (got < HEAD) {
            nanosleep(&(struct timespec){.tv_nsec = 200000}, NULL); /* poll() would not wait for the rest */
            return 0;
        }
        if (length_of(head) < 4)
            return -1;
        if (received(end->fd, head, HEAD, 0) != HEAD)
            return -1;
        end->aside = length_of(head) - 4;
    }
}

/* Wait, until `until` at most, for the source to send, or for the target to take. Both may be told at any
 * time that the target will not go on. */
static void await(Forward *way, int source, double until, double *spent)
{
    double from = now();
    struct pollfd both[2] = {
        {.fd = way->target.fd, .events = (short)((way->refused ? 0 : POLLIN) | (source ? 0 : POLLOUT))},
        {.fd = way->source.fd, .events = POLLIN},
    };
    poll(both, source ? 2 : 1, until > from ? (int)((until - from) * 1000) + 1 : 0);
    *spent += now() - from;
}

/* Join the rows of `got` bytes that were looked at into one message; gives the bytes to take. */
static size_t joined(Forward *way, size_t got, Py_ssize_t most, Py_ssize_t *rows)
{
    unsigned char *arrived = way->message + HEAD + HEAD, *last = arrived + got;
    unsigned char *from = arrived - way->held, *into = way->message + HEAD;
    memcpy(from, way->head, (size_t)way->held);
    way->size = way->sent = 0;
    for (;;) {
        if (way->left > 0) {
            size_t part = (size_t)(last - from) < way->left ? (size_t)(last - from) : way->left;
            memmove(into, from, part);
            from += part;
            into += part;
            if ((way->left -= part) > 0)
                break;
            ++*rows;
        }
        if (*rows >= most || from == last || *from != 'd')
            break;
        if (last - from < HEAD) {
            way->held = (int)(last - from);
            memcpy(way->head, from, (size_t)way->held);
            from = last;
            break;
        }
        if (length_of(from) < 4)
            break;
        way->held = 0;
        way->left = length_of(from) - 4;
        from += HEAD;
        if (way->left == 0)
            ++*rows;
    }
    size_t size = (size_t)(into - (way->message + HEAD));
    if (size > 0) {
        uint32_t length = (uint32_t)size + 4;
        way->message[0] = 'd';
        way->message[1] = (unsigned char)(length >> 24);
        way->message[2] = (unsigned char)(length >> 16);
        way->message[3] = (unsigned char)(length >> 8);
        way->message[4] = (unsigned char)length;
        way->size = HEAD + size;
    }
    return from > arrived ? (size_t)(from - arrived) : 0;
}

/* forward(way, rows, bytes, seconds) -> (rows, bytes, seconds for the source, for the target, state)
 * Goes on until about so many rows or bytes have passed, or so long. state: 0 = more may be there,
 * 1 = wait for the source, 2 = the source's rows have ended, 3 = wait for the target in the middle of a
 * message, 4 = the target has ended the COPY. */
PyObject *forward(PyObject *self, PyObject *args)
{
    PyObject *capsule;
    Py_ssize_t rows, bytes, count = 0, total = 0;
    double seconds, source_seconds = 0, target_seconds = 0;
    (void)self;
    if (!PyArg_ParseTuple(args, "Onnd", &capsule, &rows, &bytes, &seconds))
        return NULL;
    Forward *way = PyCapsule_GetPointer(capsule, NAME);
    if (way == NULL)
        return NULL;
    int state;
    Py_BEGIN_ALLOW_THREADS;
    double until = now() + seconds;
    for (;;) {
        if (!way->refused && beyond_asides(way, &way->target) != 0)
            way->refused = 1;
        if (way->sent < way->size) { /* to its end, refused or not: the target skips whole messages */
            ssize_t gone = send(way->target.fd, way->message + way->sent, way->size - way->sent,
                                MSG_NOSIGNAL | MSG_DONTWAIT);
            if (gone >= 0)
                way->sent += (size_t)gone;
            else if (is_early() && now() < until)
                await(way, 0, until, &target_seconds);
            else if (is_early()) {
                state = TARGET_WAIT;
                break;
            } else if (errno != EINTR) {
                way->refused = 1;
                way->sent = way->size;
            }
            continue;
        }
        state = way->refused ? REFUSED : MORE;
        if (way->refused || count >= rows || total >= bytes || now() >= until)
            break;
        ssize_t got = received(way->source.fd, way->message + HEAD + HEAD, ROOM, MSG_PEEK);
        int type = got > 0 ? 'd' : got < 0 && is_early() ? 0 : -1;
        if (type == 'd') {
            size_t size = way->source.aside ? 0 : joined(way, (size_t)got, rows, &count);
            if (size == 0)
                type = beyond_asides(way, &way->source);
            else if (taken(way, size) < 0)
                type = -1;
            else if (way->size > 0)
                total += (Py_ssize_t)way->size - HEAD;
        }
        if (type == 0 && now() < until)
            await(way, 1, until, &source_seconds);
        else if (type != 'd') {
            state = type == 0 ? SOURCE_WAIT : ENDED;
            break;
        }
    }
    Py_END_ALLOW_THREADS;
    return Py_BuildValue("nnddi", count, total, source_seconds, target_seconds, state);
}
