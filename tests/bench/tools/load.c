// The benchmark's client: keep-alive connections, closed loop, one thread.
//
//   load --port N --requests FILE [--connections 64] [--in-flight N] [--body BYTES]
//        [--warm SECONDS] [--seconds SECONDS]
//
// Opens the connections, uses each once and then all of them for the warm-up, and says
// `ready`. Each line on standard input starts a measured round of so many seconds, whose
// outcome is one line of JSON; the end of standard input ends the program. So whoever
// measures sees neither the start of connections nor their end.
//
// FILE has requests, each behind its length as `LENGTH\n`; they are sent in turn. `--body`
// appends that many bytes to each, for bodies that a file should not hold.
#define _GNU_SOURCE
#include "http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define PIECE 262144

struct request {
    char *text;
    size_t size;
};

struct connection {
    int fd;
    int waits_to_write;
    const struct request *request; // The one in flight.
    size_t written;
    uint64_t body_left;
    uint64_t began;
    struct message answer;
};

static struct request *requests;
static size_t request_count, next_request;
static struct connection *connections;
static size_t connection_count = 64, in_flight_limit, in_flight;
static struct connection **idle; // A ring: who waited longest is next.
static size_t idle_first, idle_count;
static uint64_t body_size, deadline, errors, statuses[600];
static uint32_t *times; // Tenths of a microsecond.
static size_t times_count, times_room;
static int poller, port;
static char input[PIECE], filler[PIECE];

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
    fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void read_requests(const char *path) {
    FILE *file = fopen(path, "rb");
    if (!file) fail(path);
    size_t size;
    while (fscanf(file, "%zu", &size) == 1 && fgetc(file) == '\n') {
        requests = realloc(requests, (request_count + 1) * sizeof *requests);
        struct request *r = &requests[request_count++];
        r->size = size;
        r->text = malloc(size);
        if (fread(r->text, 1, size, file) != size) fail("requests end early");
    }
    fclose(file);
    if (!request_count) fail("no requests");
}

static void watch(struct connection *c, int operation, unsigned events) {
    struct epoll_event event = {.events = events, .data.ptr = c};
    epoll_ctl(poller, operation, c->fd, &event);
}

static void open_connection(struct connection *c) {
    int one = 1;
    struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    c->fd = socket(AF_INET, SOCK_STREAM, 0);
    if (c->fd < 0 || connect(c->fd, (struct sockaddr *)&address, sizeof address)) fail("connect");
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    fcntl(c->fd, F_SETFL, O_NONBLOCK);
    c->waits_to_write = 0;
    watch(c, EPOLL_CTL_ADD, EPOLLIN);
}

static void put_idle(struct connection *c) {
    idle[(idle_first + idle_count++) % connection_count] = c;
}

// Writes on; 0 when the connection is gone.
static int write_on(struct connection *c) {
    for (;;) {
        size_t left = c->request->size - c->written;
        const char *from = left ? c->request->text + c->written : filler;
        if (!left) left = c->body_left < PIECE ? c->body_left : PIECE;
        if (!left) break;
        ssize_t wrote = write(c->fd, from, left);
        if (wrote < 0 && errno == EAGAIN) {
            if (!c->waits_to_write) watch(c, EPOLL_CTL_MOD, EPOLLIN | EPOLLOUT);
            c->waits_to_write = 1;
            return 1;
        }
        if (wrote < 0) return 0;
        if (from == filler) c->body_left -= (uint64_t)wrote;
        else c->written += (size_t)wrote;
    }
    if (c->waits_to_write) watch(c, EPOLL_CTL_MOD, EPOLLIN);
    c->waits_to_write = 0;
    return 1;
}

static void broken(struct connection *c) {
    errors++;
    close(c->fd);
    open_connection(c);
}

static void send_on_longest_idle(void) {
    struct connection *c = idle[idle_first];
    idle_first = (idle_first + 1) % connection_count;
    idle_count--;
    c->request = &requests[next_request++ % request_count];
    c->written = 0;
    c->body_left = body_size;
    c->began = now();
    message_reset(&c->answer, 1);
    in_flight++;
    if (!write_on(c)) {
        broken(c);
        c->request = NULL;
        in_flight--;
        put_idle(c);
    }
}

static void note(struct connection *c) {
    uint64_t took = (now() - c->began) / 100;
    int status = message_status(&c->answer);
    statuses[status > 0 && status < 600 ? status : 0]++;
    if (times_count == times_room) {
        times_room = times_room ? 2 * times_room : 1 << 16;
        times = realloc(times, times_room * sizeof *times);
    }
    times[times_count++] = took > UINT32_MAX ? UINT32_MAX : (uint32_t)took;
}

// The request in flight is over, with an answer or without one.
static void finish(struct connection *c, int answered) {
    if (answered) note(c);
    if (!answered) {
        broken(c);
    } else if (c->answer.closes) {
        close(c->fd);
        open_connection(c);
    }
    c->request = NULL;
    in_flight--;
    put_idle(c);
}

static void read_on(struct connection *c) {
    ssize_t size = read(c->fd, input, sizeof input);
    if (size < 0 && errno == EAGAIN) return;
    if (!c->request) {
        broken(c); // Closed, or spoken on, while nothing was asked.
    } else if (size <= 0) {
        finish(c, 0);
    } else {
        size_t used = message_feed(&c->answer, input, (size_t)size);
        if (c->answer.stage == COMPLETE) finish(c, used == (size_t)size);
        else if (c->answer.stage == MALFORMED) finish(c, 0);
    }
}

static void ready_for(struct connection *c, unsigned events) {
    if (events & EPOLLOUT && c->request && !write_on(c)) finish(c, 0);
    else if (events & ~(unsigned)EPOLLOUT) read_on(c);
}

// Sends until the deadline and each connection has had `at_least` requests, then waits for
// the answers that are out; the time until the last of them is the result.
static double round_of(double seconds, uint64_t at_least) {
    uint64_t began = now(), sent = 0;
    struct epoll_event ready[256];
    deadline = began + (uint64_t)(seconds * 1e9);
    for (;;) {
        int goes_on = now() < deadline || sent < at_least;
        while (goes_on && idle_count && in_flight < in_flight_limit) {
            send_on_longest_idle();
            sent++;
        }
        if (!goes_on && !in_flight) break;
        if (now() > deadline + 20000000000u) {
            errors += in_flight;
            break;
        }
        int number = epoll_wait(poller, ready, 256, 100);
        for (int i = 0; i < number; i++) {
            ready_for(ready[i].data.ptr, ready[i].events);
            if (now() < deadline && idle_count && in_flight < in_flight_limit) {
                send_on_longest_idle();
                sent++;
            }
        }
    }
    return (double)(now() - began) / 1e9;
}

static int by_size(const void *a, const void *b) {
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return x < y ? -1 : x > y;
}

static double at_share(double share) {
    return times_count ? times[(size_t)((double)(times_count - 1) * share)] / 10.0 : 0;
}

static void measured_round(double seconds) {
    times_count = 0;
    errors = 0;
    memset(statuses, 0, sizeof statuses);
    double took = round_of(seconds, 1);
    qsort(times, times_count, sizeof *times, by_size);
    printf("{\"requests\":%zu,\"seconds\":%.4f,\"errors\":%llu,\"p50_us\":%.1f,\"p99_us\":%.1f,\"status\":{",
           times_count, took, (unsigned long long)errors, at_share(0.5), at_share(0.99));
    const char *comma = "";
    for (int i = 0; i < 600; i++) {
        if (!statuses[i]) continue;
        printf("%s\"%d\":%llu", comma, i, (unsigned long long)statuses[i]);
        comma = ",";
    }
    printf("}}\n");
    fflush(stdout);
}

int main(int count, char **words) {
    double seconds = 5, warm = 0;
    const char *path = NULL;
    for (int i = 1; i + 1 < count; i += 2) {
        const char *name = words[i], *value = words[i + 1];
        if (!strcmp(name, "--port")) port = atoi(value);
        else if (!strcmp(name, "--requests")) path = value;
        else if (!strcmp(name, "--connections")) connection_count = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--in-flight")) in_flight_limit = strtoul(value, NULL, 10);
        else if (!strcmp(name, "--body")) body_size = strtoull(value, NULL, 10);
        else if (!strcmp(name, "--warm")) warm = atof(value);
        else if (!strcmp(name, "--seconds")) seconds = atof(value);
        else path = NULL, i = count;
    }
    if (!port || !path || !connection_count) {
        fprintf(stderr, "usage: load --port N --requests FILE …; the source says more\n");
        return 2;
    }
    signal(SIGPIPE, SIG_IGN);
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    if (!in_flight_limit) in_flight_limit = connection_count;
    memset(filler, 'x', sizeof filler);
    read_requests(path);
    poller = epoll_create1(0);
    connections = calloc(connection_count, sizeof *connections);
    idle = calloc(connection_count, sizeof *idle);
    for (size_t i = 0; i < connection_count; i++) {
        open_connection(&connections[i]);
        put_idle(&connections[i]);
    }
    round_of(warm, connection_count);
    puts("ready");
    fflush(stdout);
    char line[16];
    while (fgets(line, sizeof line, stdin)) measured_round(seconds);
    return 0;
}
