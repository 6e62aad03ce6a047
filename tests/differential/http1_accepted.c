/* SPDX-License-Identifier: Apache-2.0 */
/* Prints each vector of tests/unit/http1_vectors.h that our codec accepts, as one JSON object a line, with
 * the content it found: {"kind", "name", "head_reply", "bytes", "content", "complete"}, bytes in hexadecimal.
 */
#include "../unit/http1_summary.h"
#include "../unit/http1_vectors.h"

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define CHUNKED_HEAD "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

static void
print_hex(const char *key, const char *at, size_t len)
{
    printf(", \"%s\": \"", key);
    for (size_t i = 0; i < len; i++)
        printf("%02x", (unsigned char)at[i]);
    printf("\"");
}

/* A message whose head is the first head_len bytes. Nothing is printed when its body is bad. */
static void
print_message(const char *kind, const char *name, bool head_reply, const struct http1_head *head,
              const char *at, uint32_t head_len, uint32_t len)
{
    struct body_summary b = {.last = BODY_MORE};
    struct http1_body body;

    http1_body_init(&body, head->framing, head->length);
    summarize_piece(&b, &body, at + head_len, len - head_len);
    if (b.last == BODY_BAD)
        return;
    printf("{\"kind\": \"%s\", \"name\": \"", kind);
    for (; *name; name++)
        printf(*name == '"' || *name == '\\' ? "\\%c" : "%c", *name);
    printf("\", \"head_reply\": %s", head_reply ? "true" : "false");
    print_hex("bytes", at, len);
    print_hex("content", b.content.text, b.content.len);
    printf(", \"complete\": %s}\n", b.last == BODY_END ? "true" : "false");
}

int
main(void)
{
    static const struct http1_limits limits = {.line = 8192, .head = 32768, .headers = 100};
    static struct http1_head head;
    enum close_reason why;
    uint32_t used;

    for (size_t i = 0; i < COUNT(request_vectors); i++) {
        const struct head_vector *v = &request_vectors[i];

        if (http1_parse_request(v->bytes, v->len, 0, &limits, &head, &used, &why) == PARSE_OK)
            print_message("request", v->name, false, &head, v->bytes, used, v->len);
    }
    for (size_t i = 0; i < COUNT(reply_vectors); i++) {
        const struct head_vector *v = &reply_vectors[i];

        if (http1_parse_reply(v->bytes, v->len, 0, v->method, &limits, &head, &used, &why) == PARSE_OK)
            print_message("reply", v->name, v->method == METHOD_HEAD, &head, v->bytes, used, v->len);
    }
    for (size_t i = 0; i < COUNT(body_vectors); i++) {
        const struct body_vector *v = &body_vectors[i];
        char bytes[1024] = CHUNKED_HEAD;
        const uint32_t head_len = sizeof CHUNKED_HEAD - 1;

        if (v->framing != FRAMING_CHUNKED || v->len > sizeof bytes - head_len)
            continue;
        memcpy(bytes + head_len, v->bytes, v->len);
        head.framing = FRAMING_CHUNKED;
        print_message("request", v->name, false, &head, bytes, head_len, head_len + v->len);
    }
    return 0;
}
