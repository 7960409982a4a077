/* The two callers of wrong-keys.py: they send requests at a set rate, and time answers one by one.
 *
 *   client rate PORT RATE SECONDS CONNECTIONS < PAIRS      open loop: latency counts from when a request was due
 *   client time PORT TRIES SEED KIND=FILE… > SAMPLES       one connection, kinds drawn at random, "KIND STATUS NS" a line
 *   client time-apart PORT TRIES SEED KIND=FILE… > SAMPLES the same with a connection for each kind
 *
 * PAIRS and each FILE have "SUBSCRIBER-KEY VENDOR-KEY" lines, taken in turn. Build: cc -O2 -o client client.c
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ANSWER = 65536, STATUSES = 600 };

static uint64_t now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

static void fail(const char *what) {
    perror(what);
    exit(1);
}

typedef struct { char **text; size_t *length; size_t count; } Requests;

static Requests read_requests(FILE *from) {
    Requests all = {0};
    char line[4096], key[2048], vendor[2048];
    while (fgets(line, sizeof line, from)) {
        if (sscanf(line, "%2047s %2047s", key, vendor) != 2) continue;
        if ((all.count & (all.count - 1)) == 0) {
            size_t room = all.count ? all.count * 2 : 1;
            all.text = realloc(all.text, room * sizeof *all.text);
            all.length = realloc(all.length, room * sizeof *all.length);
        }
        int length = asprintf(&all.text[all.count],
            "GET /v1/appointments/12345 HTTP/1.1\r\nHost: localhost\r\nX-Subscriber-Key: %s\r\nX-Vendor-Key: %s\r\n\r\n",
            key, vendor);
        all.length[all.count++] = (size_t)length;
    }
    if (!all.count) { fputs("no pairs\n", stderr); exit(1); }
    return all;
}

static int dial(int port) {
    int fd = socket(AF_INET, SOCK_STREAM, 0), one = 1;
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to)) fail("connect");
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
    return fd;
}

/* The status of a whole answer in the buffer, or 0 while more of it is to come. */
static int whole(char *buffer, size_t have) {
    buffer[have] = 0;
    char *end = strstr(buffer, "\r\n\r\n");
    if (!end) return 0;
    char *length = strcasestr(buffer, "\r\ncontent-length:");
    if (!length || length > end) { fputs("an answer without content-length\n", stderr); exit(1); }
    size_t all = (size_t)(end - buffer) + 4 + strtoul(length + 17, NULL, 10);
    return have >= all ? atoi(buffer + 9) : 0;
}

/* ------------------------------------------------------------------ a rate */

typedef struct { int fd; size_t have; uint64_t due; char *buffer; } Connection;

static int by_value(const void *a, const void *b) {
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static int rate(int argc, char **argv) {
    if (argc != 6) return 2;
    int port = atoi(argv[2]), count = atoi(argv[5]);
    double per_second = atof(argv[3]), seconds = atof(argv[4]);
    Requests requests = read_requests(stdin);
    Connection *all = calloc((size_t)count, sizeof *all), **idle = calloc((size_t)count, sizeof *idle);
    size_t idles = 0, next = 0, answered = 0, sent = 0, planned = (size_t)(per_second * seconds);
    uint64_t *took = malloc((planned + 1) * sizeof *took), statuses[STATUSES] = {0}, reconnects = 0;
    int poll = epoll_create1(0);
    for (int i = 0; i < count; i++) {
        Connection *c = &all[i];
        c->buffer = malloc(ANSWER + 1);
        c->fd = dial(port);
        fcntl(c->fd, F_SETFL, O_NONBLOCK);
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
        epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &event);
        idle[idles++] = c;
    }
    prctl(PR_SET_TIMERSLACK, 1);
    uint64_t begin = now() + 1000000, end = begin + (uint64_t)(seconds * 1e9), at, last = begin;
    while ((at = now()) < end + 1000000000u && !(at >= end && idles == (size_t)count)) {
        while (idles && sent < planned && at < end) {
            uint64_t due = begin + (uint64_t)((double)sent * 1e9 / per_second);
            if (due > at) break;
            Connection *c = idle[--idles];
            c->due = due;
            c->have = 0;
            size_t i = next++ % requests.count;
            if (write(c->fd, requests.text[i], requests.length[i]) != (ssize_t)requests.length[i]) fail("write");
            sent++;
            at = now();
        }
        uint64_t due = begin + (uint64_t)((double)sent * 1e9 / per_second);
        uint64_t until = at >= end ? at + 10000000 : !idles || sent >= planned ? end : due;
        uint64_t wait = until > at ? until - at : 0;
        struct timespec timeout = {.tv_sec = (time_t)(wait / 1000000000u), .tv_nsec = (long)(wait % 1000000000u)};
        struct epoll_event events[256];
        int ready = epoll_pwait2(poll, events, 256, &timeout, NULL);
        for (int i = 0; i < ready; i++) {
            Connection *c = events[i].data.ptr;
            ssize_t got = read(c->fd, c->buffer + c->have, ANSWER - c->have);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) {
                reconnects++;
                close(c->fd);
                c->fd = dial(port);
                fcntl(c->fd, F_SETFL, O_NONBLOCK);
                struct epoll_event event = {.events = EPOLLIN, .data.ptr = c};
                epoll_ctl(poll, EPOLL_CTL_ADD, c->fd, &event);
                if (c->due) { c->due = 0; idle[idles++] = c; }
                continue;
            }
            c->have += (size_t)got;
            int status = whole(c->buffer, c->have);
            if (!status) continue;
            last = now();
            took[answered++] = last - c->due;
            statuses[status % STATUSES]++;
            c->due = 0;
            idle[idles++] = c;
        }
    }
    qsort(took, answered, sizeof *took, by_value);
    #define AT(q) (answered ? (double)took[(size_t)((double)(answered - 1) * (q))] / 1e3 : 0)
    printf("{\"asked\": %.0f, \"reached\": %.0f, \"answered\": %zu, \"unsent\": %zu, \"reconnects\": %lu, "
           "\"p50_us\": %.1f, \"p90_us\": %.1f, \"p99_us\": %.1f, \"p999_us\": %.1f, \"max_us\": %.1f, \"statuses\": {",
           per_second, (double)answered * 1e9 / (double)(last - begin), answered, planned - sent,
           (unsigned long)reconnects, AT(0.5), AT(0.9), AT(0.99), AT(0.999), AT(1));
    const char *comma = "";
    for (int i = 0; i < STATUSES; i++)
        if (statuses[i]) { printf("%s\"%d\": %lu", comma, i, (unsigned long)statuses[i]); comma = ", "; }
    puts("}}");
    return 0;
}

/* ------------------------------------------------------------------ single answers */

static uint64_t state;
static uint64_t random64(void) { /* splitmix64 */
    uint64_t z = (state += 0x9e3779b97f4a7c15u);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

static int times(int argc, char **argv, int apart) {
    if (argc < 6) return 2;
    int port = atoi(argv[2]), kinds = argc - 5;
    size_t tries = strtoul(argv[3], NULL, 10), total = tries * (size_t)kinds;
    state = strtoul(argv[4], NULL, 10);
    Requests *of = calloc((size_t)kinds, sizeof *of);
    int *fd = calloc((size_t)kinds, sizeof *fd);
    for (int k = 0; k < kinds; k++) {
        char *file = strchr(argv[5 + k], '=');
        if (!file) return 2;
        *file++ = 0;
        FILE *from = fopen(file, "r");
        if (!from) fail(file);
        of[k] = read_requests(from);
        fclose(from);
        fd[k] = k && !apart ? fd[0] : dial(port);
    }
    /* As many of each kind, in an order that nobody knows before. */
    uint16_t *order = malloc(total * sizeof *order), *status = calloc(total, sizeof *status);
    uint64_t *took = malloc(total * sizeof *took);
    for (size_t i = 0; i < total; i++) order[i] = (uint16_t)(i % (size_t)kinds);
    for (size_t i = total - 1; i; i--) {
        size_t j = random64() % (i + 1);
        uint16_t was = order[i];
        order[i] = order[j];
        order[j] = was;
    }
    char *buffer = malloc(ANSWER + 1);
    size_t *turn = calloc((size_t)kinds, sizeof *turn), warm = 2000;
    for (size_t n = 0; n < total + warm; n++) {
        size_t i = n < warm ? n % total : n - warm;
        int k = order[i];
        size_t r = turn[k]++ % of[k].count, have = 0;
        uint64_t begin = now();
        if (write(fd[k], of[k].text[r], of[k].length[r]) != (ssize_t)of[k].length[r]) fail("write");
        int said = 0;
        while (!said) {
            /* Without sleeping: waking up would cost more, and vary more, than all that is looked for. */
            ssize_t got = recv(fd[k], buffer + have, ANSWER - have, MSG_DONTWAIT);
            if (got < 0 && errno == EAGAIN) continue;
            if (got <= 0) fail("recv");
            have += (size_t)got;
            said = whole(buffer, have);
        }
        took[i] = now() - begin;
        status[i] = (uint16_t)said;
    }
    for (size_t i = 0; i < total; i++) printf("%s %d %lu\n", argv[5 + order[i]], status[i], (unsigned long)took[i]);
    return 0;
}

int main(int argc, char **argv) {
    const char *what = argc > 1 ? argv[1] : "";
    int code = !strcmp(what, "rate") ? rate(argc, argv)
             : !strcmp(what, "time") ? times(argc, argv, 0)
             : !strcmp(what, "time-apart") ? times(argc, argv, 1) : 2;
    if (code == 2) fputs("usage: see the head of client.c\n", stderr);
    return code;
}
