/* A serial wire between two descriptors: every byte takes its time on the line, and arrives some time after that.
 *
 *     paced_wire BAUDRATE LATENCY_IN_MICROSECONDS HOST BOARD
 *
 * A byte occupies the line for 10 bits and is there LATENCY later. What is read together leaves in one burst, so a
 * burst needs one start time, and how many of its bytes are due follows from the clock; nothing is kept per byte. The
 * wire holds 4 KiB each way, as a driver does, and reads no more until there is room. It ends with its standard input,
 * which its maker holds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#ifdef __linux__
#include <sys/prctl.h>
#endif

#define HOLDS 4096
#define NEVER INT64_MAX

struct burst {
    int64_t start; /* when its first byte got the line */
    int size, gone;
};

struct lane {
    int from, to, held, first, count;
    int64_t free; /* when the line is free again */
    struct burst bursts[HOLDS];
    unsigned char bytes[HOLDS];
};

static double byte_time;
static int64_t latency;

static int64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (int64_t)time.tv_sec * 1000000000 + time.tv_nsec;
}

/* When the byte after the first `index` ones of a burst has arrived. */
static int64_t arrival(const struct burst *burst, int index) {
    return burst->start + latency + (int64_t)((index + 1) * byte_time);
}

static int take(struct lane *lane) {
    ssize_t size = read(lane->from, lane->bytes + lane->held, sizeof lane->bytes - lane->held);
    if (size <= 0)
        return size < 0 && (errno == EAGAIN || errno == EINTR);
    int64_t time = now();
    struct burst *burst = &lane->bursts[(lane->first + lane->count++) % HOLDS];
    burst->start = lane->free > time ? lane->free : time;
    burst->size = (int)size;
    burst->gone = 0;
    lane->free = burst->start + (int64_t)(size * byte_time);
    lane->held += (int)size;
    return 1;
}

/* Hand over what is due. Return when to look again; *full says that the other side takes no more. */
static int64_t deliver(struct lane *lane, int *full) {
    *full = 0;
    while (lane->count) {
        struct burst *burst = &lane->bursts[lane->first];
        int64_t time = now(), next = arrival(burst, burst->gone);
        if (next > time)
            return next;
        int due = burst->gone + 1;
        while (due < burst->size && arrival(burst, due) <= time)
            due++;
        ssize_t size = write(lane->to, lane->bytes, due - burst->gone);
        if (size <= 0) {
            *full = 1;
            return NEVER;
        }
        lane->held -= (int)size;
        memmove(lane->bytes, lane->bytes + size, lane->held);
        burst->gone += (int)size;
        if (burst->gone == burst->size) {
            lane->first = (lane->first + 1) % HOLDS;
            lane->count--;
        }
    }
    return NEVER;
}

int main(int count, char **words) {
    static struct lane up, down;
    if (count != 5)
        return 2;
    byte_time = 1e10 / atof(words[1]);
    latency = (int64_t)(atof(words[2]) * 1000);
    up.from = down.to = atoi(words[3]);
    up.to = down.from = atoi(words[4]);
    fcntl(up.from, F_SETFL, O_NONBLOCK);
    fcntl(up.to, F_SETFL, O_NONBLOCK);
#ifdef __linux__
    prctl(PR_SET_TIMERSLACK, 1); /* the default lets every wait last 50 us longer */
#endif
    for (;;) {
        int up_full, down_full;
        int64_t next = deliver(&up, &up_full), other = deliver(&down, &down_full);
        if (other < next)
            next = other;
        struct pollfd ends[] = {
            {up.from, (up.held < HOLDS ? POLLIN : 0) | (down_full ? POLLOUT : 0), 0},
            {down.from, (down.held < HOLDS ? POLLIN : 0) | (up_full ? POLLOUT : 0), 0},
            {0, POLLIN, 0},
        };
        struct timespec wait, *limit = NULL;
        if (next != NEVER) {
            int64_t left = next - now();
            if (left < 0)
                left = 0;
            wait.tv_sec = left / 1000000000;
            wait.tv_nsec = left % 1000000000;
            limit = &wait;
        }
        if (ppoll(ends, 3, limit, NULL) < 0 && errno != EINTR)
            return 1;
        if (ends[2].revents)
            return 0;
        if ((ends[0].revents & (POLLIN | POLLHUP | POLLERR) && up.held < HOLDS && !take(&up)) ||
            (ends[1].revents & (POLLIN | POLLHUP | POLLERR) && down.held < HOLDS && !take(&down)))
            return 0;
    }
}
