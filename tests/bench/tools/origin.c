// The benchmark's upstream: one thread, keep-alive, bodies are read and forgotten.
//
//   origin PORT
//
// `/echo…` is answered with the request as it came, `/bytes/N` with N bytes, and any other
// path with the same JSON of 1024 bytes.
#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#define ECHO_MAX 65536
#define PIECE 262144

struct client {
    int fd;
    struct message request;
    const char *out;  // What is being written: the head of the answer and its short body.
    char *own;        // The same, when it was made for this answer.
    size_t out_left;
    uint64_t filler;  // Bytes to write after that.
    char *echo;
    size_t echoed;
};

static int poller;
static char input[PIECE], filler[PIECE], answer[2048];
static size_t answer_size;

static const char FIELDS[] = "Server: origin\r\nDate: Mon, 05 Jan 2026 00:00:00 GMT\r\n"
                             "Content-Type: application/json\r\nX-Upstream-Version: 1.2.3\r\n"
                             "Cache-Control: no-store\r\n";

static void make_answer(void) {
    char body[1025];
    int size = sprintf(body, "{\"state\":\"fine\",\"text\":\"");
    for (; size < 1022; size++) body[size] = (char)('a' + size % 26);
    memcpy(body + size, "\"}", 3);
    answer_size = (size_t)sprintf(answer, "HTTP/1.1 200 OK\r\n%sContent-Length: 1024\r\n\r\n%s", FIELDS, body);
}

static void end(struct client *c) {
    close(c->fd);
    free(c->own);
    free(c->echo);
    free(c);
}

static void watch(struct client *c, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_MOD, c->fd, &event);
}

// Writes on; 1 when all is written, 0 when the socket is full, -1 when it is gone.
static int flush(struct client *c) {
    while (c->out_left || c->filler) {
        const char *from = c->out_left ? c->out : filler;
        size_t size = c->out_left ? c->out_left : c->filler < PIECE ? c->filler : PIECE;
        ssize_t wrote = write(c->fd, from, size);
        if (wrote < 0) return errno == EAGAIN ? 0 : -1;
        if (c->out_left) {
            c->out += wrote;
            c->out_left -= (size_t)wrote;
        } else {
            c->filler -= (uint64_t)wrote;
        }
    }
    free(c->own);
    c->own = NULL;
    return 1;
}

static int asks_for(const struct client *c, const char *prefix) {
    const char *space = strchr(c->request.text, ' ');
    return space && strncmp(space + 1, prefix, strlen(prefix)) == 0;
}

static void reply(struct client *c) {
    if (asks_for(c, "/echo")) {
        c->own = malloc(c->echoed + 512);
        int head = sprintf(c->own, "HTTP/1.1 200 OK\r\n%sContent-Length: %zu\r\n\r\n", FIELDS, c->echoed);
        memcpy(c->own + head, c->echo, c->echoed);
        c->out_left = (size_t)head + c->echoed;
    } else if (asks_for(c, "/bytes/")) {
        c->own = malloc(512);
        c->filler = strtoull(strchr(c->request.text, ' ') + strlen(" /bytes/"), NULL, 10);
        c->out_left = (size_t)sprintf(c->own, "HTTP/1.1 200 OK\r\n%sContent-Length: %llu\r\n\r\n", FIELDS,
                                      (unsigned long long)c->filler);
    } else {
        c->out_left = answer_size;
    }
    c->out = c->own ? c->own : answer;
}

static void keep_for_echo(struct client *c, const char *data, size_t size) {
    if (!c->echo) c->echo = malloc(ECHO_MAX);
    if (c->echoed + size > ECHO_MAX) size = ECHO_MAX - c->echoed;
    memcpy(c->echo + c->echoed, data, size);
    c->echoed += size;
}

// Reads what there is and answers the request that it completes; 0 when the client is gone.
static int serve(struct client *c) {
    ssize_t size = read(c->fd, input, sizeof input);
    if (size < 0 && errno == EAGAIN) return 1;
    if (size <= 0) return 0;
    size_t used = message_feed(&c->request, input, (size_t)size);
    if (asks_for(c, "/echo")) keep_for_echo(c, input, used);
    if (c->request.stage == MALFORMED || used < (size_t)size) return 0;
    if (c->request.stage != COMPLETE) return 1;
    reply(c);
    message_reset(&c->request, 0);
    c->echoed = 0;
    int done = flush(c);
    if (done == 0) watch(c, EPOLLOUT);
    return done >= 0;
}

static void welcome(int listener) {
    int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK), one = 1;
    if (fd < 0) return;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    struct client *c = calloc(1, sizeof *c);
    c->fd = fd;
    message_reset(&c->request, 0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
    epoll_ctl(poller, EPOLL_CTL_ADD, fd, &event);
}

static int listen_on(int port) {
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0), one = 1;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (bind(fd, (struct sockaddr *)&address, sizeof address) || listen(fd, 4096)) {
        perror("origin: cannot listen");
        exit(1);
    }
    return fd;
}

int main(int count, char **words) {
    if (count != 2) {
        fprintf(stderr, "usage: origin PORT\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    memset(filler, 'x', sizeof filler);
    make_answer();
    int listener = listen_on(atoi(words[1]));
    poller = epoll_create1(0);
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = NULL}, ready[256];
    epoll_ctl(poller, EPOLL_CTL_ADD, listener, &event);
    for (;;) {
        int number = epoll_wait(poller, ready, 256, -1);
        for (int i = 0; i < number; i++) {
            struct client *c = ready[i].data.ptr;
            if (!c) {
                welcome(listener);
            } else if (ready[i].events & EPOLLOUT) {
                int done = flush(c);
                if (done < 0) end(c);
                else if (done) watch(c, EPOLLIN);
            } else if (!serve(c)) {
                end(c);
            }
        }
    }
}
