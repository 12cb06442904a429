// Finds the end of HTTP/1.1 messages in the pieces that a socket gives. Bodies are counted
// and not kept, so a message may be of any length.
#ifndef BENCH_HTTP_H
#define BENCH_HTTP_H

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define HEAD_MAX 4096

enum stage { HEAD, BODY, CHUNK_SIZE, CHUNK, TRAILER, COMPLETE, MALFORMED };

struct message {
    enum stage stage;
    int is_answer;
    int closes;        // The sender will close the connection after it.
    int skip_line;     // Within a chunk's size line: behind the digits.
    size_t head;       // Bytes of the head so far.
    size_t trailer;    // Bytes of the trailer's line so far.
    uint64_t left;     // Bytes of the body, or of the chunk, that are still to come.
    char text[HEAD_MAX + 1];
};

static void message_reset(struct message *m, int is_answer) {
    m->stage = HEAD;
    m->is_answer = is_answer;
    m->closes = m->skip_line = 0;
    m->head = m->trailer = 0;
    m->left = 0;
}

// The value of a line that begins with `name:`, or NULL.
static const char *field_value(const char *line, const char *name) {
    size_t length = strlen(name);
    if (strncasecmp(line, name, length) != 0 || line[length] != ':') return NULL;
    line += length + 1;
    return line + strspn(line, " \t");
}

static int message_status(const struct message *m) {
    return m->head > 12 ? atoi(m->text + 9) : 0;
}

// The head is complete: what follows it?
static void message_frame(struct message *m) {
    int has_length = 0, chunked = 0;
    for (const char *line = strchr(m->text, '\n'); line; line = strchr(line, '\n')) {
        const char *value;
        line++;
        if ((value = field_value(line, "content-length"))) {
            m->left = strtoull(value, NULL, 10);
            has_length = 1;
        } else if ((value = field_value(line, "transfer-encoding"))) {
            chunked = strncasecmp(value, "chunked", 7) == 0;
        } else if ((value = field_value(line, "connection"))) {
            m->closes = strncasecmp(value, "close", 5) == 0;
        }
    }
    int status = m->is_answer ? message_status(m) : 0;
    if (chunked) {
        m->stage = CHUNK_SIZE;
        m->left = 0;
    } else if (m->is_answer && !has_length && status != 204 && status != 304) {
        m->stage = MALFORMED; // Its end would be the connection's, which a benchmark never wants.
    } else {
        m->stage = m->left ? BODY : COMPLETE;
    }
}

static void message_chunk_size(struct message *m, char c) {
    if (c == '\n') {
        m->stage = m->left ? CHUNK : TRAILER;
        if (m->left) m->left += 2; // The line end behind the data.
        m->trailer = 0;
        m->skip_line = 0;
    } else if (c == ';' || c == '\r') {
        m->skip_line = 1;
    } else if (!m->skip_line) {
        int digit = c >= '0' && c <= '9' ? c - '0' : (c | 32) >= 'a' && (c | 32) <= 'f' ? (c | 32) - 'a' + 10 : -1;
        if (digit < 0) m->stage = MALFORMED;
        m->left = m->left * 16 + (unsigned)digit;
    }
}

static size_t message_head(struct message *m, const char *data, size_t size) {
    size_t take = HEAD_MAX - m->head < size ? HEAD_MAX - m->head : size;
    size_t from = m->head < 3 ? 0 : m->head - 3;
    memcpy(m->text + m->head, data, take);
    char *end = memmem(m->text + from, m->head + take - from, "\r\n\r\n", 4);
    if (!end) {
        m->head += take;
        if (m->head == HEAD_MAX) m->stage = MALFORMED;
        return take;
    }
    size_t before = m->head;
    m->head = (size_t)(end - m->text) + 4;
    m->text[m->head] = 0;
    message_frame(m);
    return m->head - before;
}

// Reads on, and returns how many bytes belong to the message.
static size_t message_feed(struct message *m, const char *data, size_t size) {
    size_t at = 0;
    while (at < size && m->stage != COMPLETE && m->stage != MALFORMED) {
        if (m->stage == HEAD) {
            at += message_head(m, data + at, size - at);
        } else if (m->stage == CHUNK_SIZE) {
            message_chunk_size(m, data[at++]);
        } else if (m->stage == TRAILER) {
            char c = data[at++];
            if (c == '\n' && m->trailer == 0) m->stage = COMPLETE;
            if (c == '\n') m->trailer = 0;
            else if (c != '\r') m->trailer++;
        } else {
            uint64_t take = m->left < size - at ? m->left : size - at;
            at += take;
            m->left -= take;
            if (m->left == 0) m->stage = m->stage == BODY ? COMPLETE : CHUNK_SIZE;
        }
    }
    return at;
}

#endif
