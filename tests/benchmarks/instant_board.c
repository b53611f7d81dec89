/* A raw REPL that answers at once: what a board costs when it costs nothing.
 *
 *     instant_board DESCRIPTOR      serves the pty's master on that descriptor until the slave's last holder is gone
 *
 * It runs nothing. It knows the handshake's greeting, the question what board it is, and the marker at the end of marked
 * code; code that holds "10240" prints 10 KB. All that one read brings is answered in one write.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WINDOW 128
static const char BANNER[] = "raw REPL; CTRL-B to exit\r\n>";
static const char ABOUT[] = "{'n': 'micropython', 'v': (1, 25, 0), 'b': True, 'q': 1}\r\n";

static char code[1 << 17], out[1 << 17];
static size_t length, pending;

static void put(const char *data, size_t size) {
    memcpy(out + pending, data, size);
    pending += size;
}

static void run(void) {
    char first[64], second[64];
    code[length] = 0;
    if (sscanf(code, "print('%63[^']'+'%63[^']')", first, second) == 2) {
        put(first, strlen(first));
        put(second, strlen(second));
        put("\r\n", 2);
    } else if (strstr(code, "_belay_info")) {
        put(ABOUT, sizeof ABOUT - 1);
    } else if (strstr(code, "10240")) {
        memset(out + pending, 'x', 10240);
        pending += 10240;
        put("\r\n", 2);
    }
    if (length >= 8 && !memcmp(code + length - 8, "_q('", 4))
        put(code + length - 4, 2);
    put("\x04\x04>", 3);
}

int main(int count, char **words) {
    static char data[1 << 16];
    int fd = count > 1 ? atoi(words[1]) : 0, pasting = 0;
    for (;;) {
        ssize_t size = read(fd, data, sizeof data);
        if (size <= 0)
            return 0;
        for (ssize_t at = 0; at < size; at++) {
            char byte = data[at];
            if (byte == 3 || byte == 2) {
                length = 0;
                pasting = 0;
                if (byte == 2)
                    put("\r\n>>> ", 6);
            } else if (byte == 1) {
                pasting = length >= 2 && !memcmp(code + length - 2, "\x05" "A", 2);
                if (pasting)
                    put("R\x01\x80\0\x01", 5);
                else
                    put(BANNER, sizeof BANNER - 1);
                length = 0;
            } else if (byte == 4) {
                if (pasting)
                    put("\x04", 1);
                else
                    put("OK", 2);
                run();
                length = 0;
                pasting = 0;
            } else if (length < sizeof code - 1) {
                code[length++] = byte;
                if (pasting && length % WINDOW == 0)
                    put("\x01", 1);
            }
        }
        for (size_t sent = 0; sent < pending;) {
            ssize_t done = write(fd, out + sent, pending - sent);
            if (done < 0)
                return 0;
            sent += (size_t)done;
        }
        pending = 0;
    }
}
