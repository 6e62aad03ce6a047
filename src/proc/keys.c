/* SPDX-License-Identifier: Apache-2.0 */
#include "proc/keys.h"

#include "base/text.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

enum { KEY_FILE_MAX = 4096 };

static const char *const key_names[KEYS] = {
    [KEY_PREVIOUS] = "previous", [KEY_CURRENT] = "current", [KEY_NEXT] = "next"};

static int
hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

/* Exactly 2 * size digits. */
static bool
parse_hex(struct text digits, uint8_t *ret, size_t size)
{
    if (digits.len != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++) {
        int high = hex_digit(digits.at[2 * i]), low = hex_digit(digits.at[2 * i + 1]);
        if (high < 0 || low < 0)
            return false;
        ret[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r';
}

static struct text
next_word(struct text *rest)
{
    while (rest->len && is_blank(*rest->at))
        rest->at++, rest->len--;
    struct text word = {rest->at, 0};
    while (rest->len && !is_blank(*rest->at))
        rest->at++, rest->len--, word.len++;
    return word;
}

/* A sealed text names its key by the id alone. */
static bool
id_is_taken(const struct key_ring *ring, unsigned by)
{
    for (unsigned i = 0; i < KEYS; i++)
        if (i != by && ring->keys[i].id == ring->keys[by].id)
            return true;
    return false;
}

static bool
parse_line(struct text line, struct key_ring *ring)
{
    struct text name = next_word(&line), id = next_word(&line), key = next_word(&line);
    uint8_t bytes[4];

    if (name.len == 0 || name.at[0] == '#')
        return true;
    for (unsigned i = 0; i < KEYS; i++) {
        if (!text_eq(name, text_of(key_names[i])))
            continue;
        if (ring->keys[i].id != 0 || next_word(&line).len || !parse_hex(id, bytes, sizeof bytes) ||
            !parse_hex(key, ring->keys[i].key, KEY_BYTES))
            return false;
        ring->keys[i].id =
            (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
        return ring->keys[i].id != 0 && !id_is_taken(ring, i);
    }
    return false;
}

int
keys_parse(const char *text, size_t len, struct key_ring *ret_ring, unsigned *ret_line)
{
    struct key_ring ring = {.current = KEY_CURRENT};
    struct text rest = {text, (uint32_t)len};

    for (unsigned number = 1; rest.len; number++) {
        const char *end = memchr(rest.at, '\n', rest.len);
        uint32_t n = end ? (uint32_t)(end - rest.at) : rest.len;

        if (!parse_line((struct text){rest.at, n}, &ring)) {
            explicit_bzero(&ring, sizeof ring);
            *ret_line = number;
            return -EINVAL;
        }
        n += end != NULL;
        rest.at += n;
        rest.len -= n;
    }
    if (ring.keys[KEY_CURRENT].id == 0) {
        *ret_line = 0;
        return -EINVAL;
    }
    *ret_ring = ring;
    explicit_bzero(&ring, sizeof ring);
    return 0;
}

static int
random_line(char *out, size_t size, const char *name)
{
    uint8_t bytes[4 + KEY_BYTES];
    int n;

    do {
        if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes)
            return -EIO;
    } while (!(bytes[0] | bytes[1] | bytes[2] | bytes[3]));
    n = snprintf(out, size, "%s ", name);
    for (size_t i = 0; i < sizeof bytes; i++)
        n += snprintf(out + n, size - (size_t)n, i == 3 ? "%02x " : "%02x", bytes[i]);
    n += snprintf(out + n, size - (size_t)n, "\n");
    explicit_bzero(bytes, sizeof bytes);
    return n;
}

static int
write_new_file(int fd)
{
    char text[512] = "# mcpgate's sealing keys\n";
    size_t len = strlen(text);
    int r = 0;

    for (unsigned i = KEY_CURRENT; i <= KEY_NEXT && r >= 0; i++) {
        r = random_line(text + len, sizeof text - len, key_names[i]);
        len += r > 0 ? (size_t)r : 0;
    }
    if (r >= 0)
        r = write(fd, text, len) == (ssize_t)len && fsync(fd) == 0 ? 0 : -EIO;
    explicit_bzero(text, sizeof text);
    return r;
}

/* Linked into place when it is whole, so that of two gateways that start at once one makes it and both read
 * it. */
static int
make_file(const char *path)
{
    char fresh[300];
    int r = 0;

    if ((size_t)snprintf(fresh, sizeof fresh, "%s.%d", path, (int)getpid()) >= sizeof fresh)
        return -ENAMETOOLONG;
    int fd = open(fresh, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return -errno;
    r = write_new_file(fd);
    close(fd);
    if (r == 0 && link(fresh, path) && errno != EEXIST)
        r = -errno;
    unlink(fresh);
    return r;
}

static int
read_file(int fd, const char *path, struct key_ring *ret_ring, char *why, size_t why_size)
{
    char text[KEY_FILE_MAX];
    struct stat st;
    unsigned line;
    int r;

    if (fstat(fd, &st))
        return -errno;
    if (st.st_mode & (S_IRWXG | S_IRWXO)) {
        snprintf(why, why_size, "key file %s is open to its group or others: chmod 600 it", path);
        return -EPERM;
    }
    ssize_t n = read(fd, text, sizeof text);
    if (n < 0)
        return -errno;
    if (n == sizeof text) {
        snprintf(why, why_size, "key file %s is longer than %d bytes: is it the right file?", path,
                 KEY_FILE_MAX - 1);
        return -EFBIG;
    }
    r = keys_parse(text, (size_t)n, ret_ring, &line);
    if (r < 0 && line == 0)
        snprintf(why, why_size, "key file %s has no `current` key: move the file away to have a new one made",
                 path);
    else if (r < 0)
        snprintf(why, why_size,
                 "key file %s line %u is not `previous|current|next ID KEY` (8 and 64 hexadecimal "
                 "digits, each ID once): correct it, or move the file away to have a new one made",
                 path, line);
    explicit_bzero(text, sizeof text);
    return r;
}

static int
seal(const struct key_ring *ring, int *ret_fd)
{
    int fd = memfd_create("mcpgate-keys", MFD_CLOEXEC | MFD_ALLOW_SEALING), r = 0;

    if (fd < 0)
        return -errno;
    if (write(fd, ring, sizeof *ring) != (ssize_t)sizeof *ring)
        r = -EIO;
    else if (fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_SEAL))
        r = -errno;
    if (r < 0)
        close(fd);
    else
        *ret_fd = fd;
    return r;
}

int
keys_open(const char *path, int *ret_fd, char *why, size_t why_size)
{
    struct key_ring ring;
    int r = 0, fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    why[0] = '\0';
    if (fd < 0 && errno == ENOENT) {
        r = make_file(path);
        fd = r == 0 ? open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    }
    if (fd < 0) {
        r = r < 0 ? r : -errno;
        snprintf(why, why_size,
                 "cannot %s the key file %s: %s: choose another place with --key-file or --state-dir",
                 r == -EACCES ? "read or make" : "make", path, strerror(-r));
        return r;
    }
    r = read_file(fd, path, &ring, why, why_size);
    close(fd);
    if (r == 0) {
        r = seal(&ring, ret_fd);
        explicit_bzero(&ring, sizeof ring);
    }
    if (r < 0 && !why[0])
        snprintf(why, why_size, "cannot read the key file %s: %s", path, strerror(-r));
    return r;
}

const struct key_ring *
keys_map(int fd)
{
    void *at = mmap(NULL, sizeof(struct key_ring), PROT_READ, MAP_SHARED, fd, 0);

    if (at == MAP_FAILED)
        return NULL;
    madvise(at, sizeof(struct key_ring), MADV_DONTDUMP);
    return at;
}
